"""Jira's dynamic webhooks for issues (https://developer.atlassian.com/cloud/jira/platform/webhooks/).

A user can have five per site, so one covers a whole project. All share one URL; the delivery names the webhook by a
number that is unique per site.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from area.connectors.jira import api
from area.sdk import (
    Context,
    Hint,
    Hook,
    Inbound,
    Permanent,
    Request,
    Sentence,
    Subscription,
    bearer_jwt,
    lookup,
    now,
    parse,
)

EVENTS = ["jira:issue_created", "jira:issue_updated", "comment_created"]
CHECKED = timedelta(days=1)  # it lasts for thirty from then on; one that is gone is noticed by then


async def _subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
    site, project = params.model_dump()["site"], params.model_dump()["project"]
    path, query = await api.at(ctx, site, "/webhook"), f'project = "{project}"'
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks/#api-rest-api-3-webhook-get
    async for row in ctx.http.rows(path, at="values"):
        serves = row["jqlFilter"] == query and set(EVENTS) <= set(row["events"])
        if serves and row.get("url", hook.url) == hook.url:
            number = row["id"]
            # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks/#api-rest-api-3-webhook-refresh-put
            await ctx.http.call("PUT", f"{path}/refresh", json={"webhookIds": [number]})
            break
    else:
        number = await _made(ctx, path, {"url": hook.url, "webhooks": [{"jqlFilter": query, "events": EVENTS}]})
    return Subscription(f"{urlsplit(site).hostname} {number}", now() + CHECKED)


async def _made(ctx: Context, path: str, wanted: dict[str, Any]) -> int:
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks/#api-rest-api-3-webhook-post
    (created,) = await ctx.http.post(path, list[dict[str, Any]], at="webhookRegistrationResult", json=wanted)
    if "createdWebhookId" not in created:
        raise Permanent(Sentence("Jira refused the webhook: %(said)s", said="; ".join(lookup("errors", created, []))))
    return parse(int, created["createdWebhookId"], "Jira")


async def _unsubscribe(ctx: Context, params: BaseModel, _hook: Hook, subscription: str) -> None:
    path = await api.at(ctx, params.model_dump()["site"], "/webhook")
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks/#api-rest-api-3-webhook-delete
    await ctx.http.call("DELETE", path, json={"webhookIds": [int(subscription.rpartition(" ")[2])]})


def _matched(request: Request) -> list[str]:
    """https://developer.atlassian.com/cloud/jira/platform/webhooks/#using-the-rest-api--registration"""
    body = parse(dict[str, Any], request.json(), "Jira")
    site = urlsplit(parse(str, lookup("issue.self", body), "Jira")).hostname
    return [f"{site} {number}" for number in parse(list[int], body.get("matchedWebhookIds"), "Jira")]


# https://developer.atlassian.com/cloud/jira/platform/webhooks/#webhooks-authentication-for-oauth-2-0-apps
inbound = Inbound(bearer_jwt(), subscriptions=_matched)
project = Hint(None, _subscribe, _unsubscribe, scopes=("manage:jira-webhook",))
