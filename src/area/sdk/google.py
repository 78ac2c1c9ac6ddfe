"""What Google's services share: one registration, one way of asking, and what their refusals mean."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from area.kit.http import RequestFailed
from area.sdk.context import Context
from area.sdk.errors import Permanent, Retry
from area.sdk.http import Response, parse
from area.sdk.oauth2 import Account, OAuth2, Quirks

__all__ = ["HOSTS", "Gone", "Resource", "answers", "call", "google", "pages", "scope"]

HOSTS = ("openidconnect.googleapis.com",)
MOST = 1000  # items of one list: what a poll may yield
LATER = timedelta(
    hours=1
)  # a quota of a day is there again at midnight Pacific time, and Google does not say when that is

# https://developers.google.com/workspace/drive/api/guides/handle-errors
# https://developers.google.com/workspace/calendar/api/guides/errors
# https://developers.google.com/youtube/v3/docs/errors
_A_WHILE = {"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_A_DAY = {"quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg"}
_TOO_LITTLE = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
_SWITCHED_OFF = {"accessNotConfigured", "SERVICE_DISABLED"}


class Resource(BaseModel):
    """What Google calls `mimeType` is `mime_type` here."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def scope(name: str) -> str:
    """A scope by the last part of its name (https://developers.google.com/identity/protocols/oauth2/scopes)."""
    return f"https://www.googleapis.com/auth/{name}"


IDENTITY = ("openid", scope("userinfo.email"), scope("userinfo.profile"))  # as the token endpoint names them, too


async def _account(ctx: Context) -> Account:
    # https://developers.google.com/identity/openid-connect/openid-connect#obtaininguserprofileinformation
    me = await call(ctx, "GET", "https://openidconnect.googleapis.com/v1/userinfo")
    if not me.get("sub"):
        raise Permanent("Google does not say who you are.")
    email = me.get("email")
    verified = me.get("email_verified") is True
    return Account(str(me["sub"]), str(email or me.get("name") or me["sub"]), email, email_verified=verified)


def google(*, login: bool = False) -> OAuth2:
    """Google's OAuth2, for a service with `HOSTS` among its hosts; exactly one says `login`.

    Without `include_granted_scopes`: AREA asks for all that a connection has anyway, and each token is to open one service only.
    https://developers.google.com/identity/protocols/oauth2/web-server
    """
    return OAuth2(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        _account,
        scopes=IDENTITY,
        login_scopes=IDENTITY if login else None,
        login_name="Google" if login else "",
        revoke_url="https://oauth2.googleapis.com/revoke",
        client="google",
        quirks=Quirks(
            client_auth="post",
            # without consent there is a refresh token the first time only
            authorize_params={"access_type": "offline", "prompt": "consent"},
            # "access to all of that authorization's scopes … are revoked simultaneously" (the page above)
            revokes_all=True,
        ),
    )


class Gone(Exception):
    """What was asked for is not there, where a connector can do without."""


async def call(ctx: Context, method: str, url: str, *, gone: int = 0, **options: Any) -> dict[str, Any]:
    """Ask, and parse the answer; nothing is an empty one.

    Raises the three errors as `Http` does, and by Google's reasons on 403; `Gone` on the status `gone`.
    """
    response = await ctx.http.request(method, url, **options)
    if response.status == gone:
        raise Gone
    _check(ctx, response)
    return parse(dict[str, Any], response, response.host) if response.body else {}


async def answers(ctx: Context, url: str, *, params: Mapping[str, Any], gone: int = 0) -> AsyncIterator[dict[str, Any]]:
    """A list, page after page. Raises as `call`."""
    page: dict[str, str] = {}
    while True:
        answer = await call(ctx, "GET", url, gone=gone, params={**params, **page})
        yield answer
        if not answer.get("nextPageToken"):
            return
        page = {"pageToken": answer["nextPageToken"]}


async def pages(
    ctx: Context, url: str, items: str, *, params: Mapping[str, Any], most: int = MOST
) -> AsyncIterator[dict[str, Any]]:
    """The items of a list, over its pages, `most` of them. Raises as `call`."""
    count = 0
    async for answer in answers(ctx, url, params=params):
        for item in answer.get(items) or ():
            yield item
            count += 1
            if count == most:
                return


def _check(ctx: Context, response: Response) -> None:
    reasons = _reasons(response) if response.status == 403 else set()
    if reasons & _TOO_LITTLE:
        raise Permanent(
            "Google was not allowed to let AREA do this. Connect it again, and agree to all that it asks for."
        )
    if reasons & _SWITCHED_OFF:
        raise Permanent(f"{response.host} is not enabled for this server: its administrator does that in Google Cloud.")
    try:
        ctx.http.check(response)
    except Permanent as error:
        if reasons & (_A_WHILE | _A_DAY):
            after = response.retry_after() or (LATER if reasons & _A_DAY else None)
            raise Retry(str(error), after, parks=True) from None
        raise


def _reasons(response: Response) -> set[str]:
    """Why, in the words of both forms of Google's errors (https://google.aip.dev/193)."""
    try:
        error = response.json()["error"]
        told = [*error.get("errors", ()), *error.get("details", ())]
        return {str(one["reason"]) for one in told if "reason" in one}
    except (RequestFailed, KeyError, TypeError, AttributeError):
        return set()
