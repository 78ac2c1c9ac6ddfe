"""Hints: the vendor notifies AREA of changes, so that AREA doesn't have to poll all the time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from area.sdk.context import Context
from area.sdk.events import Hook, Reply, Request, Subscription
from area.sdk.verify import Verify


@dataclass(frozen=True, slots=True)
class Hint:
    """A vendor's subscription to what one poll watches. A delivery says only that something changed; AREA then polls.

    `subscribe(ctx, params, hook)` asks the vendor to call `hook.url`. It may be called again after a crash: reuse an
    existing subscription for this URL if the vendor lets you find it. `renew(ctx, params, hook, subscription)` extends
    it in the last third of its life; without it, AREA subscribes again and ends the old subscription. `unsubscribe(ctx,
    params, hook, subscription)` is called when it is no longer needed. `ctx.state` is the poll's, and read-only here.

    `verify` checks each delivery with the secret of its URL, or the client's. `handshake` runs first, also on unsigned
    requests: if it returns a reply, AREA sends that and doesn't poll. With `signs_all` it runs after the check, for
    vendors that sign it. `over` returns whether a verified delivery ends the subscription; AREA then subscribes again.

    Without `verify`, deliveries arrive at the service's single URL (`Inbound`), whose `subscriptions` returns which
    ones they concern. Several polls can then share a subscription, which ends with the last of them.

    `scopes` are requested together with the poll's. A connection without them is polled as usual.
    """

    verify: Verify | None
    subscribe: Callable[[Context, Any, Hook], Awaitable[Subscription]]
    unsubscribe: Callable[[Context, Any, Hook, str], Awaitable[None]]
    renew: Callable[[Context, Any, Hook, str], Awaitable[Subscription]] | None = None
    handshake: Callable[[Request], Reply | None] | None = None
    signs_all: bool = False
    over: Callable[[Request], bool] | None = None
    scopes: tuple[str, ...] = ()
