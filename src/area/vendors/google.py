"""What Google's services share: one registration, one way of asking, and what their refusals mean."""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from area.kit.clock import now
from area.kit.sentences import Sentence
from area.sdk.answers import Output, lookup, output
from area.sdk.context import Context
from area.sdk.errors import ConnectorError, Gone, Permanent, Retry
from area.sdk.events import Hook, Reply, Request, Subscription
from area.sdk.hints import Hint
from area.sdk.http import LIMITED, Pages, Response
from area.sdk.oauth2 import OAuth2, Quirks, profile
from area.sdk.service import Inbound, Service
from area.sdk.verify import shared_token

__all__ = ["HOSTS", "PAGES", "google", "hint", "refusal", "scope", "service"]

LASTS = timedelta(days=7)  # a channel, at most; Google says how long it really does
HOSTS = ("openidconnect.googleapis.com",)
# a quota of a day is there again at midnight Pacific time, and Google does not say when that is
LATER = timedelta(hours=1)

# https://developers.google.com/workspace/drive/api/guides/handle-errors
# https://developers.google.com/workspace/calendar/api/guides/errors
# https://developers.google.com/youtube/v3/docs/errors
_A_WHILE = {"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_A_DAY = {"quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg"}
_TOO_LITTLE = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
_SWITCHED_OFF = {"accessNotConfigured", "SERVICE_DISABLED"}

# one for all: https://google.aip.dev/158. Whoever asks for what has changed needs the last page, which says from where to go on
PAGES = Pages("items", next="nextPageToken", cursor="pageToken", most=1000)


def scope(name: str) -> str:
    """A scope by the last part of its name (https://developers.google.com/identity/protocols/oauth2/scopes)."""
    return f"https://www.googleapis.com/auth/{name}"


IDENTITY = ("openid", scope("userinfo.email"), scope("userinfo.profile"))  # as the token endpoint names them, too


def google(*, login: bool = False) -> OAuth2:
    """Google's OAuth2, for a service with `HOSTS` among its hosts; exactly one says `login`.

    Without `include_granted_scopes`: AREA asks for all that a connection has anyway, and each token is to open one service only.
    https://developers.google.com/identity/protocols/oauth2/web-server
    """
    return OAuth2(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        # https://developers.google.com/identity/openid-connect/openid-connect#obtaininguserprofileinformation
        profile(
            "https://openidconnect.googleapis.com/v1/userinfo",
            id="sub",
            name="email name",
            email="email",
            verified="email_verified",
        ),
        scopes=IDENTITY,
        login_scopes=IDENTITY if login else None,
        revoke_url="https://oauth2.googleapis.com/revoke",
        client="google",
        vendor="Google",
        quirks=Quirks(
            client_auth="post",
            # without consent there is a refresh token the first time only
            authorize_params={"access_type": "offline", "prompt": "consent"},
            # "access to all of that authorization's scopes … are revoked simultaneously" (the page above)
            revokes_all=True,
        ),
    )


def service(
    slug: str,
    name: str,
    description: str,
    docs: str,
    base_url: str,
    *,
    login: bool = False,
    hosts: tuple[str, ...] = (),
    pages: Pages = PAGES,
    inbound: Inbound | None = None,
) -> Service:
    """One of Google's services, whose connector is tested against Google's discovery document; `hosts` are others that it asks."""
    return Service(
        slug,
        name,
        description,
        docs=docs,
        base_url=base_url,
        auth=google(login=login),
        hosts=(*HOSTS, *hosts),
        pages=pages,
        inbound=inbound,
        refusal=refusal,
        quality="verified",
    )


class _Channel(Output):
    id: str
    resource: str = output("resourceId", "What is watched", "o3hgv1538sdjfh")
    ends: int | None = output("expiration", "When it ends, in milliseconds", 1426325213000, None)


def hint(api: str, watch: str, start: str = "") -> Hint:
    """Have Google say that something of a resource changed, by its method `watch` below `api`, which is such as `/calendar/v3`.

    In `watch`, `{name}` stands for the poll's parameter of that name; `start` is where the `pageToken` comes from that some need. A
    channel can't be prolonged nor found: another takes its place, and one that nobody knows of ends by itself.
    """

    async def subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
        # https://developers.google.com/workspace/calendar/api/guides/push
        # https://developers.google.com/workspace/drive/api/guides/push
        ends = now() + LASTS
        wanted = {
            "id": str(uuid.uuid4()),
            "type": "web_hook",
            "address": hook.url,
            "token": hook.secret,
            "expiration": str(int(ends.timestamp() * 1000)),
        }
        more = {"pageToken": await ctx.http.get(f"{api}/{start}", str, at="startPageToken")} if start else {}
        path = watch.format_map({name: quote(str(value), safe="") for name, value in params.model_dump().items()})
        channel = await ctx.http.post(f"{api}/{path}", _Channel, params=more, json=wanted)
        if channel.ends is not None:
            ends = datetime.fromtimestamp(channel.ends / 1000, UTC)
        return Subscription(f"{channel.id} {channel.resource}", ends)

    async def unsubscribe(ctx: Context, params: BaseModel, hook: Hook, subscription: str) -> None:  # noqa: ARG001
        channel, _, resource = subscription.partition(" ")
        # https://developers.google.com/workspace/calendar/api/v3/reference/channels/stop
        with suppress(Gone):
            stopped = {"id": channel, "resourceId": resource}
            await ctx.http.call("POST", f"{api}/channels/stop", json=stopped, gone=(404,))

    return Hint(shared_token("X-Goog-Channel-Token"), subscribe, unsubscribe, handshake=_synced)


def _synced(request: Request) -> Reply | None:
    """The first message of a channel says only that it is there."""
    return Reply() if request.headers.get("X-Goog-Resource-State") == "sync" else None


def refusal(response: Response, body: Mapping[str, Any]) -> ConnectorError | None:
    """What Google's reasons mean on 403, in both forms of its errors (https://google.aip.dev/193)."""
    if response.status != 403:
        return None
    reasons = {str(one) for form in ("errors", "details") for one in lookup(f"error.{form}.*.reason", body, ())}
    if reasons & _TOO_LITTLE:
        return Permanent(
            Sentence("Google was not allowed to let AREA do this. Connect it again, and agree to all that it asks for.")
        )
    if reasons & _SWITCHED_OFF:
        return Permanent(
            Sentence(
                "%(host)s is not enabled for this server: its administrator does that in Google Cloud.",
                host=response.host,
            )
        )
    if reasons & (_A_WHILE | _A_DAY) and response.retry_after() is None:
        after = LATER if reasons & _A_DAY else LIMITED
        return Retry(
            Sentence("%(host)s answered %(status)s: %(said)s", host=response.host, status=403, said=response.excerpt()),
            after,
            parks=True,
        )
    return None
