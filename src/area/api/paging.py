"""Keyset pagination: `?limit=&cursor=`, answered with `{"items": […], "next_cursor": …}`."""

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
    """One page of a list. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None = Field(None, examples=[None])


class Paging:
    """The requested page: fetch `limit + 1` rows with an id below `before`, then `cut` them."""

    def __init__(self, name: str, keyring: Keyring, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self.before: int | None = None
        self._keyring = keyring
        self._purpose = f"cursor {name}"
        if cursor:
            try:
                self.before = int(keyring.unsign(cursor, self._purpose))
            except BadSignature:
                raise Invalid.field("cursor", "Invalid cursor. Start again without one.") from None

    def cut(self, rows: Sequence[Any]) -> dict[str, Any]:
        """The page; the rows' `id` makes the cursor."""
        items = list(rows[: self.limit])
        cursor = None
        if len(rows) > self.limit:
            cursor = self._keyring.sign(str(items[-1].id), self._purpose, CURSOR_DAYS * 86400)
        return {"items": items, "next_cursor": cursor}


def paging(name: str) -> Callable[..., Paging]:
    """Dependency for one list. Its cursors are valid for that list only."""

    def dependency(
        state: StateDep,
        limit: Annotated[int, Query(ge=1, le=100, description="Maximum number of items")] = 50,
        cursor: Annotated[Line | None, Query(max_length=300, description="`next_cursor` of the previous page")] = None,
    ) -> Paging:
        return Paging(name, state.keyring, limit, cursor)

    return dependency
