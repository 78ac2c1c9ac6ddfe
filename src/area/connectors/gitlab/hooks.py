"""GitLab's project webhooks: what they deliver, and how to register them.

GitLab sends a delivery once. Each hook is checked every half hour, and failed deliveries are resent under the same
Idempotency-Key.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from area.sdk import Action, Context, Hook, Permanent, Request, Subscription, parse

LOOKED_AFTER = timedelta(minutes=45)  # a subscription is renewed in the last third of this
AWAY = frozenset({"internal error", "408", "429", "502", "503", "504"})  # how a server answers that may take it later
AT_ONCE = 5  # deliveries that GitLab sends again in a minute


def at(project: str, path: str) -> str:
    """API path of something in a project."""
    return f"/api/v4/projects/{quote(project, safe='')}/{path}"


def brought(request: Request, kind: str, action: str = "") -> dict[str, Any] | None:
    """The delivery's body if it is this kind and, if given, this action. Raises `Permanent`."""
    # https://docs.gitlab.com/user/project/integrations/webhook_events/
    body = request.json()
    if not isinstance(body, dict):
        raise Permanent("The delivery isn't a JSON object.")
    if body.get("object_kind") != kind or (action and body.get("object_attributes", {}).get("action") != action):
        return None
    return body


def asked_for(action: Action, events: str) -> None:
    """Register a webhook for an action that has a `project`."""

    @action.subscribe
    async def subscribe(ctx: Context, project: str, hook: Hook) -> Subscription:
        # https://docs.gitlab.com/api/project_webhooks/#list-webhooks-for-a-project
        async for row in ctx.http.rows(at(project, "hooks")):
            if row["url"] == hook.url:
                return _looked_after(row["id"])
        query = {"push_events": False, events: True}  # pushes are on unless one says otherwise
        body = {"url": hook.url, "token": hook.secret, "enable_ssl_verification": True, **query}
        # https://docs.gitlab.com/api/project_webhooks/#add-a-webhook-to-a-project
        return _looked_after((await ctx.http.post(at(project, "hooks"), json=body))["id"])

    @action.renew
    async def renew(ctx: Context, project: str, subscription: str) -> Subscription:
        # https://docs.gitlab.com/api/project_webhooks/#get-a-list-of-project-webhook-events
        path = at(project, f"hooks/{subscription}/events")
        answer = parse(list[dict[str, Any]], await ctx.http.get(path, params={"per_page": "100"}), "GitLab")
        last = ctx.state.get("last_failure", 0)
        failed = sorted(event["id"] for event in answer if str(event["response_status"]) in AWAY and event["id"] > last)
        for number in failed[:AT_ONCE]:
            # https://docs.gitlab.com/api/project_webhooks/#resend-a-project-webhook-event
            await ctx.http.call("POST", f"{path}/{number}/resend")
            ctx.state["last_failure"] = number
        return _looked_after(subscription)

    @action.unsubscribe
    async def unsubscribe(ctx: Context, project: str, subscription: str) -> None:
        # https://docs.gitlab.com/api/project_webhooks/#delete-project-webhook
        await ctx.http.call("DELETE", at(project, f"hooks/{subscription}"))


def _looked_after(number: int | str) -> Subscription:
    return Subscription(str(number), expires_at=datetime.now(UTC) + LOOKED_AFTER)
