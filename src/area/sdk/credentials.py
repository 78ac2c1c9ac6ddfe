"""Connections made with a form: its fields, how it is tested, and how it authorizes requests."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from area.kit import oauth2
from area.kit.http import Client
from area.kit.keys import Keys
from area.kit.oauth2 import Grant, GrantFailed, Server
from area.kit.sentences import Sentence
from area.sdk.context import Context
from area.sdk.errors import AuthExpired, Retry
from area.sdk.http import Access
from area.sdk.oauth2 import Account

Credential = TypeVar("Credential", bound=BaseModel)

# https://www.rfc-editor.org/rfc/rfc6749#section-5.2
REFUSED = frozenset({"invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"})
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # ends a line, or a text, in one protocol or another


@dataclass(frozen=True, slots=True)
class ClientGrant:
    """A token from the client-credentials grant (RFC 6749 §4.4), and the only origin it is sent to."""

    server: Server
    keys: Keys
    scope: str
    base_url: str

    def access(self, token: SecretStr) -> Access:
        """The access for a request with this token."""
        value = token.get_secret_value()
        return Access(
            headers={"Authorization": f"Bearer {value}"}, base_url=self.base_url, secrets=(value,), bound=True
        )

    async def ask(self, client: Client) -> Grant:
        """Get a token. Raises `AuthExpired` if the client is rejected, `Retry` if the server can't be reached."""
        try:
            return await oauth2.client_credentials(client, self.server, self.keys, self.scope)
        except GrantFailed as error:
            if error.refused or error.code in REFUSED:
                raise AuthExpired(Sentence("The token endpoint rejected the client: %(error)s", error=error)) from None
            raise Retry(Sentence("Couldn't get a token: %(error)s", error=error)) from None


@dataclass(frozen=True)
class Credentials(Generic[Credential]):
    """A connection made with a form: a typed model (secrets as `SecretStr`) and a function that tests it.

    `test` checks that the credential can do what the service's components need, and raises `Permanent` or `Retry` with
    a sentence that says what is wrong: the address, the certificate, the password, a missing permission. It returns the
    account as the vendor identifies it, None if there is none, or a sentence if it couldn't verify the credential.
    `access` returns what `ctx.http` sends to the service's own hosts, and the URL of the user's own server; use `grant`
    instead if a token must be obtained first.

    Set `optional` for a service that also works without a connection. Its AREAs then have no default connection: their
    owner chooses one, and `label` is its name unless the owner enters another.
    """

    model: type[Credential]
    test: Callable[[Context, Credential], Awaitable[Account | str | None]]
    access: Callable[[Credential], Access] | None = None
    label: Callable[[Credential], str] | None = None
    optional: bool = False
    grant: "Callable[[Credential], ClientGrant | None] | None" = None

    def __post_init__(self) -> None:
        if self.optional and self.label is None:
            raise TypeError("An optional connection needs a label: it has no name otherwise.")

    def read(self, given: Mapping[str, Any]) -> Credential:
        """Validate a credential from a form or the database.

        Raises pydantic's `ValidationError`, also if any text contains a control character (such as a line break),
        because a server could interpret what follows as a command.
        """
        error = PydanticCustomError("control_character", "Remove the line break or control character.")
        wrong: list[InitErrorDetails] = [
            {"type": error, "loc": place, "input": None} for place, text in _texts(given) if CONTROL.search(text)
        ]
        if wrong:
            raise ValidationError.from_exception_data(self.model.__name__, wrong, hide_input=True)
        return self.model.model_validate(dict(given))


def _texts(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a value, including keys, with its path."""
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
