"""What lets a request in: headers, query parameters, and whom they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from area.kit.http import Response

MASK = "•••"
SHORTEST_SECRET = 4  # characters; what is shorter is no secret, or no word would stay whole


@dataclass(frozen=True, slots=True)
class Access:
    """What lets a request in: headers, or parameters of the query, and the address of the user's own server if there is one.

    `secrets` are taken out of every message; the values of headers and parameters are. What is `bound` to its `base_url` belongs to
    that address alone: a request elsewhere is refused rather than sent without it.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    base_url: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    bound: bool = False

    def without_secrets(self, message: str) -> str:
        """The message with dots where a secret stood."""
        values = {*self.secrets, *self.headers.values(), *self.params.values()}
        values |= {value.rpartition(" ")[2] for value in self.headers.values()}  # without `Bearer`
        for secret in sorted(values, key=len, reverse=True):
            if len(secret) >= SHORTEST_SECRET:
                message = message.replace(secret, MASK)
        return message


class Authority(Protocol):
    """Lets the requests of one connection in. Never seen by a connector."""

    base_url: str
    bound: bool

    async def access(self) -> Access:
        """What to send along. Raises `AuthExpired` when there is nothing that could be good, `Retry` when not just now."""
        ...

    async def renewed(self, refused: Access, status: int) -> Access | None:
        """What to send along instead of what was refused with `status`; None when there is nothing else. Raises as `access`."""
        ...

    def refuses(self, response: Response) -> bool:
        """Whether this answer says that the access is not, or no longer, good."""
        ...


class Fixed:
    """A credential that can't be renewed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.base_url = access.base_url
        self.bound = access.bound

    async def access(self) -> Access:
        """The same each time."""
        return self._access

    async def renewed(self, refused: Access, status: int) -> Access | None:  # noqa: ARG002 - the protocol's
        """There is no other."""
        return None

    def refuses(self, response: Response) -> bool:
        """By the status alone."""
        return response.status == 401
