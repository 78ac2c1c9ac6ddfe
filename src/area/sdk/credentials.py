"""A connection that is a form: what is typed in, how it is tried, and what of it lets requests in."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from area.sdk.context import Context
from area.sdk.http import Access

Credential = TypeVar("Credential", bound=BaseModel)

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # ends a line, or a text, in one protocol or another


@dataclass(frozen=True)
class Credentials(Generic[Credential]):
    """A connection that is a form: a typed model (secrets as `SecretStr`), and a function that tries it.

    `test` returns nothing when the credential works, and raises `Permanent` or `Retry` with a sentence that says what was
    wrong: address, certificate, login. `access` says what of it `ctx.http` sends to the service's own hosts, and where the user's
    own server is.
    """

    model: type[Credential]
    test: Callable[[Context, Credential], Awaitable[None]]
    access: Callable[[Credential], Access] | None = None

    def read(self, given: Mapping[str, Any]) -> Credential:
        """The credential that was typed in, or kept.

        Raises pydantic's `ValidationError`, also for a line break or another control character in any of its texts: a server
        could take what follows it for a command.
        """
        said = PydanticCustomError("control_character", "Remove the line break or control character.")
        wrong: list[InitErrorDetails] = [
            {"type": said, "loc": place, "input": None} for place, text in _texts(given) if CONTROL.search(text)
        ]
        if wrong:
            raise ValidationError.from_exception_data(self.model.__name__, wrong, hide_input=True)
        return self.model.model_validate(dict(given))


def _texts(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a value, names included, and where it stands."""
    if isinstance(value, SecretStr):
        yield place, value.get_secret_value()
    elif isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield place, str(name)
            yield from _texts(inner, (*place, str(name)))
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _texts(inner, place)
