"""A connection that is a form: what is typed in, how it is tried, and what of it lets requests in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from area.sdk.context import Context
from area.sdk.http import Access

Credential = TypeVar("Credential", bound=BaseModel)


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
