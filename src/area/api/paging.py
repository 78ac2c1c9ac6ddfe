"""Lists by keyset: `?limit=&cursor=`, answered with `{"items": […], "next_cursor": …}`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from area.doors.deps import Line, StateDep
from area.kit.crypto import BadSignature, Keyring
from area.kit.problems import Invalid

Item = TypeVar("Item", bound=BaseModel)

CURSOR_DAYS = 30


class Page(BaseModel, Generic[Item]):
    """Some of a list. `next_cursor` asks for the next ones, and is null on the last page."""

    items: list[Item]
    next_cursor: str | None = Field(None, examples=[None])


class Paging:
    """Where in a list a request is: ask for `limit + 1` rows with an id below `before`, and `cut` them."""

    def __init__(self, name: str, keyring: Keyring, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self.before: int | None = None
        self._keyring = keyring
        self._purpose = f"cursor {name}"
        if cursor:
            try:
                self.before = int(keyring.unsign(cursor, self._purpose))
            except BadSignature:
                raise Invalid.field(
                    "cursor", "This cursor is none of this list, or too old. Begin without one."
                ) from None

    def cut(self, rows: Sequence[Any]) -> dict[str, Any]:
        """The page, its rows named by their `id`."""
        items = list(rows[: self.limit])
        cursor = None
        if len(rows) > self.limit:
            cursor = self._keyring.sign(str(items[-1].id), self._purpose, CURSOR_DAYS * 86400)
        return {"items": items, "next_cursor": cursor}


def paging(name: str) -> Callable[..., Paging]:
    """Dependency for a list; its cursors are good for no other."""

    def dependency(
        state: StateDep,
        limit: Annotated[int, Query(ge=1, le=100, description="At most so many")] = 50,
        cursor: Annotated[Line | None, Query(max_length=300, description="`next_cursor` of the page before")] = None,
    ) -> Paging:
        return Paging(name, state.keyring, limit, cursor)

    return dependency
