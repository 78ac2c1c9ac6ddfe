"""Shared by Google's services: one OAuth client, one way to call APIs, and the meaning of errors."""

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

# one for all: https://google.aip.dev/158. Whoever asks for what has changed needs the last page, which says from where
# to go on
PAGES = Pages("items", next="nextPageToken", cursor="pageToken", most=1000)


def scope(name: str) -> str:
    """A scope from the last part of its name (https://developers.google.com/identity/protocols/oauth2/scopes)."""
    return f"https://www.googleapis.com/auth/{name}"


IDENTITY = ("openid", scope("userinfo.email"), scope("userinfo.profile"))  # as the token endpoint names them, too


def google(*, login: bool = False) -> OAuth2:
    """Google's OAuth2 for a service; exactly one service sets `login`.

    Without `include_granted_scopes`: AREA requests everything a connection has anyway, and each token should open one
    service only. https://developers.google.com/identity/protocols/oauth2/web-server
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
    synonyms: Mapping[str, str] | None = None,
) -> Service:
    """A Google service, tested against its discovery document; `hosts` are other hosts it calls."""
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
        synonyms=synonyms or {},
        refusal=refusal,
        quality="verified",
    )


class _Channel(Output):
    id: str
    resource: str = output("resourceId", "What is watched", "o3hgv1538sdjfh")
    ends: int | None = output("expiration", "When it ends, in milliseconds", 1426325213000, None)


def hint(api: str, watch: str, start: str = "") -> Hint:
    """Have Google announce changes of a resource, by its method `watch` below `api`, such as `/calendar/v3`.

    In `watch`, `{name}` stands for the poll's parameter of that name; `start` is where to get the `pageToken` that some
    need. A channel can't be extended or looked up: a new one replaces it, and a lost one expires.
    """

    async def subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
        # https://developers.google.com/workspace/calendar/api/guides/push
        # https://developers.google.com/workspace/drive/api/guides/push
        ends = now() + LASTS
        registration = {
            "id": str(uuid.uuid4()),
            "type": "web_hook",
            "address": hook.url,
            "token": hook.secret,
            "expiration": str(int(ends.timestamp() * 1000)),
        }
        more = {"pageToken": await ctx.http.get(f"{api}/{start}", str, at="startPageToken")} if start else {}
        path = watch.format_map({name: quote(str(value), safe="") for name, value in params.model_dump().items()})
        channel = await ctx.http.post(f"{api}/{path}", _Channel, params=more, json=registration)
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
    """The first message of a channel only confirms it."""
    return Reply() if request.headers.get("X-Goog-Resource-State") == "sync" else None


def refusal(response: Response, body: Mapping[str, Any]) -> ConnectorError | None:
    """The meaning of Google's reasons for a 403, in both error formats (https://google.aip.dev/193)."""
    if response.status != 403:
        return None
    reasons = {str(reason) for form in ("errors", "details") for reason in lookup(f"error.{form}.*.reason", body, ())}
    if reasons & _TOO_LITTLE:
        return Permanent(
            Sentence(
                "AREA doesn't have permission to do this at Google. Connect again and grant everything it asks for."
            )
        )
    if reasons & _SWITCHED_OFF:
        return Permanent(
            Sentence(
                "%(host)s is not enabled for this server. An administrator can enable it in Google Cloud.",
                host=response.host,
            )
        )
    if reasons & (_A_WHILE | _A_DAY) and response.retry_after() is None:
        after = LATER if reasons & _A_DAY else LIMITED
        return Retry(
            Sentence("%(host)s returned %(status)s: %(said)s", host=response.host, status=403, said=response.excerpt()),
            after,
            parks=True,
        )
    return None
