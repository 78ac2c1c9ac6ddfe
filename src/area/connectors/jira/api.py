"""URLs of Jira sites, and conversion of Jira's documents."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from area.sdk import Context, Permanent, Sentence, quoted

# https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/#3-1-get-the-cloudid-for-your-site
SITES = "/oauth/token/accessible-resources"
FIELDS = "summary description issuetype status priority assignee reporter labels created updated"
BLOCKS = {"paragraph", "heading", "listItem", "codeBlock", "tableRow", "hardBreak"}


async def at(ctx: Context, site: str, template: str, *values: str) -> str:
    """A URL of a site's API, formatted as `quoted` does. Raises `Permanent` if the user hasn't granted access to the
    site.
    """
    if ctx.state.get("site") != site:
        sites = await ctx.http.get(SITES, list[dict[str, Any]])
        cloud = next((reachable["id"] for reachable in sites if reachable["url"].rstrip("/") == site.rstrip("/")), None)
        if cloud is None:
            raise Permanent(
                Sentence("The connection has no access to %(site)s. Connect again and choose this site.", site=site)
            )
        ctx.state.update(site=site, cloud=cloud)
    return f"/ex/jira/{ctx.state['cloud']}/rest/api/3" + quoted(template, *values)


async def issues(
    ctx: Context, site: str, project: str, jql: str, date: str, since: datetime, **more: str
) -> AsyncIterator[dict[str, Any]]:
    """A project's issues with this date in the window, newest first, each with its `url`. Raises `Retry`, `Permanent`
    or `AuthExpired`.
    """
    also = f" AND ({jql})" if jql else ""
    minutes = int((datetime.now(UTC) - since).total_seconds() // 60) + 2  # dates would be of the user's time zone
    body = f'project = "{project}" AND {date} >= "-{minutes}m"{also} ORDER BY {date} DESC'
    query = {"jql": body, "fields": FIELDS.split(), "maxResults": 100, **more}
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/#api-rest-api-3-search-jql-post
    async for row in ctx.http.rows(await at(ctx, site, "/search/jql"), method="POST", json=query):
        yield with_address(site, row)


def with_address(site: str, row: dict[str, Any], key: str = "") -> dict[str, Any]:
    """An issue, or something of the issue `key`, with the URL of its page."""
    key = key or str(row.get("key"))
    return {**row, "key": key, "url": f"{site.rstrip('/')}/browse/{key}"}


def text_of(node: Any) -> Any:
    """A document's text; other values are returned unchanged."""
    # https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
    if not isinstance(node, dict):
        return "" if node is None else node
    inside, attributes = node.get("content"), node.get("attrs")
    own = node.get("text") or (attributes.get("text") if isinstance(attributes, dict) else "") or ""
    below = "".join(str(text_of(item)) for item in inside) if isinstance(inside, list) else ""
    text = f"{own}{below}" + ("\n" if node.get("type") in BLOCKS else "")
    return text.strip() if node.get("type") == "doc" else text


def document(text: str) -> dict[str, Any]:
    """A document with one paragraph per line."""
    lines = [[{"type": "text", "text": line}] if line else [] for line in text.splitlines()]
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": line} for line in lines]}
