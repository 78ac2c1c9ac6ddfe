"""The errors that may cross a connector's border. Anything else is our bug, and is logged as one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from area.kit.sentences import Sentence


class ConnectorError(Exception):
    """Base of them. The message is a sentence for the user: what failed, why, what to do."""


class Retry(ConnectorError):
    """Failed for now; may work later. `after` is how long the vendor asked to wait (`Retry-After`), if it did.

    `parks` means that the limit applies to the whole connection (a 429): all its jobs wait, not just this one. `unsure`
    means that the request may have been carried out, since no response came; what must not happen twice is then not
    retried. `state` (JSON) is what has been done already: the next attempt of a reaction, or a replay after the last
    one, finds it in `ctx.state`.
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
    """Failed, and will fail again unless something changes: wrong parameters, gone, forbidden."""


class Partial(Permanent):
    """A reaction did some of its work, and the rest was refused for good: the run fails and says both.

    `result` is what was done, as the reaction returns it. `state` (JSON) is what a replay of the run finds in
    `ctx.state`, so that it does only the rest. Such failures never switch an AREA off.
    """

    def __init__(self, message: str, *, result: Any, state: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.result = result
        self.state = dict(state)


class Gone(Permanent):
    """The response had a status, or words, that the call listed in `gone`."""


class NothingFound(ConnectorError):
    """A look-up found nothing, and its AREA stops there: the run is skipped. `Service.lookup` raises it."""


class AuthExpired(ConnectorError):
    """The vendor no longer accepts the connection's credential: the user must reconnect."""


class Unauthorized(AuthExpired):
    """A request got 401. `said` is the vendor's message. It may also mean that the account isn't allowed to do just
    this, so the engine tests the connection before it asks the user to reconnect.
    """

    def __init__(self, said: str) -> None:
        super().__init__(Sentence("%(said)s Reconnect the account.", said=said))
        self.said = said
