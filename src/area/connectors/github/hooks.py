"""GitHub's webhooks: where they are registered, what they deliver, and how to register them.

GitHub sends a delivery once. Each hook is checked every half hour, and failed deliveries are requested again; a
delivery keeps its ID.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from area.sdk import Action, Context, Event, Events, Hook, Permanent, Request, Subscription, hmac_sha256, parse

SIGNED = hmac_sha256("X-Hub-Signature-256", prefix="sha256=")
# https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
REPOSITORY_HOOKS, ORGANIZATION_HOOKS = "admin:repo_hook", "admin:org_hook"
MAX_BODY = 25_000_000  # bytes; https://docs.github.com/webhooks/webhook-events-and-payloads#payload-cap
LOOKED_AFTER = timedelta(minutes=45)  # a subscription is renewed in the last third of this
AWAY = frozenset({0, 408, 429, 502, 503, 504})  # what a delivery is answered by a server that may take it later


def brought(request: Request, event: str, *actions: str) -> dict[str, Any] | None:
    """The delivery's body if it is this event and one of these actions, if any are given. Raises `Permanent`."""
    # https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
    if request.headers.get("X-GitHub-Event") != event:
        return None
    body = request.json()
    if not isinstance(body, dict):
        raise Permanent("The delivery isn't a JSON object. Set the webhook's content type to application/json.")
    return body if not actions or body.get("action") in actions else None


async def delivered(request: Request, kind: type[BaseModel], body: dict[str, Any] | None) -> Events[Any]:
    """The event of a delivery, if any; its ID stays the same when redelivered."""
    if body:
        yield Event(request.headers.get("X-GitHub-Delivery", ""), parse(kind, body, "GitHub"))


def asked_for(action: Action, event: str) -> None:
    """Register a webhook for an action whose first parameter is a repository or organization."""

    @action.subscribe
    async def subscribe(ctx: Context, params: BaseModel, hook: Hook) -> Subscription:
        async for row in ctx.http.rows(_hooks(params)):
            if row["config"].get("url") == hook.url:
                return _looked_after(row["id"])
        config = {"url": hook.url, "content_type": "json", "secret": hook.secret, "insecure_ssl": "0"}
        body = {"name": "web", "active": True, "events": [event], "config": config}
        # https://docs.github.com/rest/repos/webhooks#create-a-repository-webhook
        # https://docs.github.com/rest/orgs/webhooks#create-an-organization-webhook
        return _looked_after((await ctx.http.post(_hooks(params), json=body))["id"])

    @action.renew
    async def renew(ctx: Context, params: BaseModel, hook: Hook, subscription: str) -> Subscription:
        # https://docs.github.com/rest/repos/webhooks#list-deliveries-for-a-repository-webhook
        deliveries = f"{_hooks(params)}/{subscription}/deliveries"
        failed = [row async for row in ctx.http.rows(deliveries, params={"status": "failure"})]
        again = {
            failure["guid"]: failure["id"] for failure in reversed(failed) if failure["status_code"] in AWAY
        }  # newest first
        last = ctx.state.get("last_failure", 0)
        for number in again.values():
            if number > last:  # it has not been tried since
                # https://docs.github.com/rest/repos/webhooks#redeliver-a-delivery-for-a-repository-webhook
                await ctx.http.call("POST", f"{deliveries}/{number}/attempts")
        ctx.state["last_failure"] = max([last, *(failure["id"] for failure in failed)])
        return _looked_after(subscription)

    @action.unsubscribe
    async def unsubscribe(ctx: Context, params: BaseModel, hook: Hook, subscription: str) -> None:
        # https://docs.github.com/rest/repos/webhooks#delete-a-repository-webhook
        await ctx.http.call("DELETE", f"{_hooks(params)}/{subscription}")


def _hooks(params: BaseModel) -> str:
    """API path of the hooks of a repository or organization."""
    place = next(str(value) for _, value in params)
    return f"/repos/{place}/hooks" if "/" in place else f"/orgs/{place}/hooks"


def _looked_after(number: int | str) -> Subscription:
    return Subscription(str(number), expires_at=datetime.now(UTC) + LOOKED_AFTER)
