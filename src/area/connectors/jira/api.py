"""How Jira's sites are reached and asked, and what its documents say."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from area.sdk import Account, Context, Permanent, Row, found, parse

NAME = "Jira"
MOST = 500  # issues at one look
FIELDS = [
    "summary", "description", "issuetype", "status", "priority", "assignee", "reporter", "labels", "created", "updated",
]  # fmt: skip
BLOCKS = {"paragraph", "heading", "listItem", "codeBlock", "tableRow", "hardBreak"}


class _Me(Row):
    id: str = found("account_id", "Atlassian's id of the account", "5b10a2844c20165700ede21g")
    name: str
    email: str | None = None


class Named(Row):
    """A site, project, type of issue, status, transition or account."""

    id: str = found("accountId key id", "What names it", "ENG")
    name: str = found("displayName name", "Its name", "Engineering")
    kind: str = found("accountType", "Of accounts: atlassian, app or customer", "atlassian", "atlassian")
    url: str = found("url", "Address of a site", "https://ada.atlassian.net", "")
    to: str = found("to.name", "Where a transition goes", "Done", "")


class _Page(Row):
    rows: list[dict[str, Any]] = found("values issues comments transitions issueTypes", "What it shows", [])
    last: bool = found("isLast", "Whether there are no more", True, True)
    token: str | None = found("nextPageToken", "What the next page goes by", "CAEaAggD", None)


async def account(ctx: Context) -> Account:
    """Who agreed. Atlassian does not say whether the address was verified."""
    # https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/
    me = parse(_Me, await ctx.http.get("/me"), NAME)
    return Account(me.id, me.name, me.email)


async def sites(ctx: Context) -> list[Named]:
    """The sites that the user agreed to."""
    # https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/#3-1-get-the-cloudid-for-your-site
    return list(parse(list[Named], await ctx.http.get("/oauth/token/accessible-resources"), NAME))


async def api(ctx: Context, site: str) -> str:
    """The path of a site's API. Raises `Permanent` when the user did not agree to this site."""
    if ctx.state.get("site") != site:
        cloud = next((one.id for one in await sites(ctx) if one.url.rstrip("/") == site.rstrip("/")), None)
        if cloud is None:
            raise Permanent(f"The connection has no access to {site}. Connect it again, and choose this site.")
        ctx.state.update(site=site, cloud=cloud)
    return f"/ex/jira/{ctx.state['cloud']}/rest/api/3"


async def listed(ctx: Context, path: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The rows of the page at `path`. Raises the three errors."""
    return parse(_Page, await ctx.http.get(path, params=params), NAME).rows


async def search(ctx: Context, site: str, jql: str, expand: str) -> AsyncIterator[dict[str, Any]]:
    """The issues that JQL finds, `MOST` of them, each with its `url`. Raises the three errors."""
    path, left, token = f"{await api(ctx, site)}/search/jql", MOST, ""
    query = {"jql": jql, "fields": FIELDS, "maxResults": 100} | ({"expand": expand} if expand else {})
    while left > 0:
        # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/#api-rest-api-3-search-jql-post
        page = parse(_Page, await ctx.http.post(path, json=query | ({"nextPageToken": token} if token else {})), NAME)
        for row in page.rows:
            yield with_address(site, row)
        left, token = left - len(page.rows), page.token or ""
        if not token:
            break


async def projects(ctx: Context, site: str) -> list[Named]:
    """The projects of a site, `MOST` of them."""
    path, found_projects = f"{await api(ctx, site)}/project/search", list[Named]()
    while len(found_projects) < MOST:
        # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-projects/#api-rest-api-3-project-search-get
        query = {"startAt": str(len(found_projects)), "maxResults": "50", "orderBy": "name"}
        page = parse(_Page, await ctx.http.get(path, params=query), NAME)
        found_projects += parse(list[Named], page.rows, NAME)
        if page.last or not page.rows:
            break
    return found_projects


def since(moment: datetime) -> str:
    """A moment as JQL takes it: minutes ago, since its dates are of the user's time zone."""
    return f'"-{int((datetime.now(UTC) - moment).total_seconds() // 60) + 2}m"'


def with_address(site: str, row: Any, key: str = "") -> dict[str, Any]:
    """An issue as Jira answered it, or what belongs to the issue `key`, with the address of its page."""
    values = parse(dict[str, Any], row, NAME)
    key = key or str(values.get("key"))
    return {**values, "key": key, "url": f"{site.rstrip('/')}/browse/{key}"}


def text_of(node: Any) -> Any:
    """The text of a document; what is no document stays as it is."""
    # https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
    if not isinstance(node, dict):
        return "" if node is None else node
    inside, attributes = node.get("content"), node.get("attrs")
    own = node.get("text") or (attributes.get("text") if isinstance(attributes, dict) else "") or ""
    below = "".join(str(text_of(one)) for one in inside) if isinstance(inside, list) else ""
    text = f"{own}{below}" + ("\n" if node.get("type") in BLOCKS else "")
    return text.strip() if node.get("type") == "doc" else text


def document(text: str) -> dict[str, Any]:
    """A document of a paragraph for each line."""
    lines = [[{"type": "text", "text": line}] if line else [] for line in text.splitlines()]
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": line} for line in lines]}
