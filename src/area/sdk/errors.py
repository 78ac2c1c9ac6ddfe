"""The three errors that may cross a connector's border. Anything else is our bug, and is logged as one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any


class ConnectorError(Exception):
    """Base of the three; its message is a sentence for the user: what failed, why, what to do."""


class Retry(ConnectorError):
    """It failed for now and may work later. `after` is what the vendor asked for (`Retry-After`), if it did.

    `parks` says that the limit belongs to the whole connection (a 429): every job of it waits, not just this one. `unsure` says that
    what was asked for may have been done, for no answer came: what must not be done twice is not tried again then. `state` (JSON) is
    what the next attempt of a reaction finds in `ctx.state`: what is done already.
    """

    def __init__(
        self,
        message: str,
        after: timedelta | None = None,
        *,
        parks: bool = False,
        unsure: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.state = dict(state or {})
        self.after = after
        self.parks = parks
        self.unsure = unsure


class Permanent(ConnectorError):
    """It failed and will fail again as it stands: wrong parameters, gone, forbidden."""


class Gone(Permanent):
    """The other side answered with a status, or words, that the request had said, as `gone`, to be no surprise."""


class AuthExpired(ConnectorError):
    """The vendor no longer accepts the connection's credential: the user must reconnect."""
