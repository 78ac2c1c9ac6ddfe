"""Shared by Microsoft's services: consent, accounts and Microsoft Graph (https://learn.microsoft.com/graph)."""

import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from area.kit.clock import now
from area.kit.sentences import Sentence
from area.sdk.context import Context
from area.sdk.errors import Permanent
from area.sdk.events import Hook, Reply, Request, Subscription
from area.sdk.hints import Hint
from area.sdk.http import Pages, parse
from area.sdk.oauth2 import Account, OAuth2, Quirks
from area.sdk.polls import timestamp
from area.sdk.verify import Refused, Verify

GRAPH = "https://graph.microsoft.com/v1.0"
NAME = "Microsoft Graph"
# https://learn.microsoft.com/graph/paging
PAGES = Pages("value", next="@odata.nextLink", most=10)
# how long subscriptions may last: the shortest of what we ask for; in Teams, more than an hour has conditions
# https://learn.microsoft.com/graph/change-notifications-overview#subscription-lifetime
# https://learn.microsoft.com/graph/teams-changenotifications-chatmessage
LASTS, LASTS_IN_TEAMS = timedelta(minutes=4230), timedelta(minutes=55)

_SERVER = "https://login.microsoftonline.com/common/oauth2/v2.0"

Kind = TypeVar("Kind")


class _Me(BaseModel):
    id: str = Field(min_length=1)
    name: str | None = Field(None, alias="displayName")
    mail: str | None = None
    login: str = Field(alias="userPrincipalName")


class _Page(BaseModel):
    value: list[dict[str, Any]]
    next_link: str | None = Field(None, alias="@odata.nextLink")
    delta_link: str | None = Field(None, alias="@odata.deltaLink")


class _Told(BaseModel):
    id: str = Field(min_length=1)
    url: str = Field("", alias="notificationUrl")
    expires_at: datetime = Field(alias="expirationDateTime")


def microsoft(*, login: bool = False) -> OAuth2:
    """Connect a Microsoft service with work, school and personal accounts; `login` allows signing in with it."""
    # https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
    return OAuth2(
        f"{_SERVER}/authorize",
        f"{_SERVER}/token",
        _account,
        scopes=("offline_access", "User.Read"),
        login_scopes=("User.Read",) if login else None,
        client="microsoft",
        vendor="Microsoft",
        quirks=Quirks(
            client_auth="post",
            authorize_params={"prompt": "select_account"},
            refused=frozenset({"invalid_grant", "interaction_required", "consent_required"}),
        ),
    )


async def _account(ctx: Context) -> Account:
    """The user who consented. Graph verifies no address: an administrator may have entered anyone's."""
    # https://learn.microsoft.com/graph/api/user-get
    me = await ctx.http.get("/me", _Me, params={"$select": "id,displayName,mail,userPrincipalName"})
    address = me.mail or (me.login if "#" not in me.login else None)  # a guest's log-in name is no address
    return Account(me.id, me.name or me.login, address)


async def changes(
    ctx: Context,
    path: str,
    kind: type[Kind],
    params: Mapping[str, str] | None = None,
    where: Callable[[dict[str, Any]], bool] = bool,
) -> AsyncIterator[Kind]:
    """Rows created or changed since the last check that pass `where`; deleted ones are left out. Raises `Retry`,
    `Permanent` or `AuthExpired`.

    The first check starts as `params` say. If Graph has lost the delta token, everything is listed again.
    """
    # https://learn.microsoft.com/graph/delta-query-overview
    delta = ctx.state.get("delta")
    url, query = (delta, None) if delta else (path, params)
    while url:
        response = await ctx.http.request("GET", url, params=query)
        if response.status == 410 and url == delta:
            url = response.headers.get("location", "")
            url, query = (url, None) if url else (path, params)
            continue
        ctx.http.check(response)
        page = parse(_Page, response, NAME)
        for row in page.value:
            if "@removed" not in row and "deleted" not in row and where(row):
                yield parse(kind, row, NAME)
        ctx.state["delta"] = page.delta_link
        url, query = page.next_link or "", None


def hint(resource: str, changes: str = "created") -> Hint:
    """Have Graph report changes of a resource. In its path, `{name}` stands for the poll's parameter of that name.

    Without the user's consent, the subscription is refused and polling stays as frequent as before: for files and
    tasks, Graph requires write access
    (https://learn.microsoft.com/graph/api/subscription-post-subscriptions#permissions).
    """
    lasts = LASTS_IN_TEAMS if resource.startswith(("/teams/", "/chats/")) else LASTS

    async def subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
        # https://learn.microsoft.com/graph/api/subscription-list
        async for row in ctx.http.rows("/subscriptions", _Told):
            if row.url == hook.url:
                return await renew(ctx, params, hook, row.id)
        # https://learn.microsoft.com/graph/api/subscription-post-subscriptions
        registration = {
            "resource": resource.format_map(params.model_dump()),
            "changeType": changes,
            "notificationUrl": hook.url,
            "clientState": hook.secret,
            "expirationDateTime": timestamp(now() + lasts),
        }
        created = await ctx.http.post("/subscriptions", _Told, json=registration)
        return Subscription(created.id, created.expires_at)

    async def renew(ctx: Context, params: BaseModel, hook: Hook, subscription: str) -> Subscription:  # noqa: ARG001
        # https://learn.microsoft.com/graph/api/subscription-update
        prolonged = {"expirationDateTime": timestamp(now() + lasts)}
        renewed = await ctx.http.ask("PATCH", f"/subscriptions/{subscription}", _Told, json=prolonged)
        return Subscription(renewed.id, renewed.expires_at)

    return Hint(_SIGNED, subscribe, _unsubscribe, renew, _validated)


async def _unsubscribe(ctx: Context, params: BaseModel, hook: Hook, subscription: str) -> None:  # noqa: ARG001
    # https://learn.microsoft.com/graph/api/subscription-delete
    await ctx.http.call("DELETE", f"/subscriptions/{subscription}")


def _validated(request: Request) -> Reply | None:
    # https://learn.microsoft.com/graph/change-notifications-delivery-webhooks#notificationurl-validation
    token = request.query.get("validationToken")
    return None if token is None else Reply(token)


def _check(request: Request, secret: str, _params: BaseModel) -> None:
    # https://learn.microsoft.com/graph/api/resources/changenotificationcollection
    try:
        states = [str(notification["clientState"]) for notification in request.json()["value"]]
    except (Permanent, KeyError, TypeError):
        states = []
    if not secret or not states or not all(hmac.compare_digest(state.encode(), secret.encode()) for state in states):
        raise Refused(Sentence("The notifications don't have the expected clientState."))


_SIGNED = Verify("clientState of each notification", _check, uses_secret=True)
