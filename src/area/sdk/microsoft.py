"""What Microsoft's services share: how their users agree, who they are, and how Microsoft Graph is read (https://learn.microsoft.com/graph)."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from area.sdk.context import Context
from area.sdk.http import parse
from area.sdk.oauth2 import Account, OAuth2, Quirks

GRAPH = "https://graph.microsoft.com/v1.0"
NAME = "Microsoft Graph"
MOST = 500  # rows of a collection that are read at a time

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


def microsoft(*, login: bool = False) -> OAuth2:
    """How a service of Microsoft's is connected, with work, school and personal accounts; `login`: people may log in with it."""
    # https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
    return OAuth2(
        f"{_SERVER}/authorize",
        f"{_SERVER}/token",
        _account,
        scopes=("offline_access", "User.Read"),
        login_scopes=("User.Read",) if login else None,
        login_name="Microsoft" if login else "",
        client="microsoft",
        quirks=Quirks(
            client_auth="post",
            authorize_params={"prompt": "select_account"},
            refused=frozenset({"invalid_grant", "interaction_required", "consent_required"}),
        ),
    )


async def _account(ctx: Context) -> Account:
    """Who agreed. Graph says of no address that it was verified: an administrator may have entered anybody's."""
    # https://learn.microsoft.com/graph/api/user-get
    values = await ctx.http.get("/me", params={"$select": "id,displayName,mail,userPrincipalName"})
    me = parse(_Me, values, NAME)
    address = me.mail or (me.login if "#" not in me.login else None)  # a guest's log-in name is no address
    return Account(me.id, me.name or me.login, address)


async def rows(
    ctx: Context, path: str, params: Mapping[str, str], kind: type[Kind], *, prefer: str = "", most: int = MOST
) -> AsyncIterator[Kind]:
    """The rows of a collection, page after page, `most` of them. Raises the three errors.

    `prefer` is the `Prefer` header of each request.
    """
    # https://learn.microsoft.com/graph/paging
    url, query, left = path, params or None, most
    while url and left > 0:
        answer = await ctx.http.call("GET", url, params=query, headers={"Prefer": prefer} if prefer else None)
        page = parse(_Page, answer, NAME)
        for row in page.value[:left]:
            yield parse(kind, row, NAME)
        url, query, left = page.next_link or "", None, left - len(page.value)


async def changes(ctx: Context, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
    """What was made or changed since the last look; what was deleted is left out. Raises the three errors.

    The first look begins as `params` say. When Graph has forgotten where the last one ended, all is shown again.
    """
    # https://learn.microsoft.com/graph/delta-query-overview
    kept = ctx.state.get("delta")
    url, query = (kept, None) if kept else (path, params)
    while url:
        response = await ctx.http.request("GET", url, params=query)
        if response.status == 410 and url == kept:
            url = response.headers.get("location", "")
            url, query = (url, None) if url else (path, params)
            continue
        ctx.http.check(response)
        page = parse(_Page, response, NAME)
        for row in page.value:
            if "@removed" not in row and "deleted" not in row:
                yield row
        ctx.state["delta"] = page.delta_link
        url, query = page.next_link or "", None


def stamp(moment: datetime) -> str:
    """A moment as Graph's filters take it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
