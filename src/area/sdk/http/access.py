"""What authorizes a request: headers, query parameters, and the authority that issues them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from area.kit.http import Response
from area.kit.sentences import changed

MASK = "•••"
SHORTEST_SECRET = 4  # characters; what is shorter is no secret, or no word would stay whole


@dataclass(frozen=True, slots=True)
class Access:
    """What authorizes a request: headers or query parameters, and the base URL of the user's own server, if there is
    one.

    `secrets`, and the values of headers and parameters, are removed from every message. A `bound` access is only for
    its `base_url`: a request elsewhere is refused instead of being sent without it.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    base_url: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    bound: bool = False

    def without_secrets(self, message: str) -> str:
        """The message with dots in place of secrets."""
        values = {*self.secrets, *self.headers.values(), *self.params.values()}
        values |= {value.rpartition(" ")[2] for value in self.headers.values()}  # without `Bearer`
        secrets = [secret for secret in sorted(values, key=len, reverse=True) if len(secret) >= SHORTEST_SECRET]

        def hidden(text: str) -> str:
            for secret in secrets:
                text = text.replace(secret, MASK)
            return text

        return changed(message, hidden)


class Authority(Protocol):
    """Authorizes the requests of one connection. Connectors never see it."""

    base_url: str
    bound: bool

    async def access(self) -> Access:
        """The access to use. Raises `AuthExpired` if none could work, `Retry` if none is available right now."""
        ...

    async def renewed(self, refused: Access, status: int) -> Access | None:
        """A new access after one was rejected with `status`; None if there is none. Raises like `access`."""
        ...

    def refuses(self, response: Response) -> bool:
        """Whether this response means that the access is invalid or has expired."""
        ...


class Fixed:
    """A credential that can't be renewed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.base_url = access.base_url
        self.bound = access.bound

    async def access(self) -> Access:
        """Always the same access."""
        return self._access

    async def renewed(self, refused: Access, status: int) -> Access | None:  # noqa: ARG002 - the protocol's
        """Always None."""
        return None

    def refuses(self, response: Response) -> bool:
        """Whether the status is 401."""
        return response.status == 401
