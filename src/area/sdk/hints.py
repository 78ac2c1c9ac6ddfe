"""What a vendor may be asked to say as soon as something changes, so that a poll need not ask all the time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from area.sdk.context import Context
from area.sdk.events import Hook, Reply, Request, Subscription
from area.sdk.verify import Verify


@dataclass(frozen=True, slots=True)
class Hint:
    """A vendor's subscription to what one poll watches. Its deliveries say that something changed, not what: the poll is asked then.

    `subscribe(ctx, params, hook)` has the vendor call `hook.url`; it may be called again after a crash in between, so what is there
    for this address is to be found rather than made twice, where the vendor lets it be found. `renew(ctx, params, hook, subscription)`
    prolongs it in the last third of its life; without it, it is subscribed anew and the old one ended.
    `unsubscribe(ctx, params, hook, subscription)` is called when nobody needs it any more. `ctx.state` is the poll's, to be read only.

    `verify` checks each delivery, by the secret of its address or the client's. `handshake` is asked before, also about requests
    that nobody signed: what it returns is answered, and nothing happened. With `signs_all` it is asked after the check, of a vendor
    that signs this, too. `over` says of a checked delivery whether it is the vendor's word that the subscription has ended: it is
    subscribed anew.

    Without `verify` its deliveries come to the one address of the service (`Inbound`), which tells the `subscriptions` that they are of.
    One may then be shared by several polls, which each find it: it is ended with the last of them.

    `scopes` are asked for together with those of the poll. A connection that was not granted them is polled as ever.
    """

    verify: Verify | None
    subscribe: Callable[[Context, Any, Hook], Awaitable[Subscription]]
    unsubscribe: Callable[[Context, Any, Hook, str], Awaitable[None]]
    renew: Callable[[Context, Any, Hook, str], Awaitable[Subscription]] | None = None
    handshake: Callable[[Request], Reply | None] | None = None
    signs_all: bool = False
    over: Callable[[Request], bool] | None = None
    scopes: tuple[str, ...] = ()
