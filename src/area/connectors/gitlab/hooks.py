"""GitLab's project webhooks: what they bring, and how GitLab is asked for them.

GitLab sends a delivery once. So a hook is looked after every half hour, and what could not be delivered is sent again, under the same
Idempotency-Key.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from area.sdk import Action, Context, Hook, Permanent, Pick, Request, Subscription, parse

WRITE = ("api",)  # https://docs.gitlab.com/integration/oauth_provider/: there is nothing narrower for hooks and issues
LOOKED_AFTER = timedelta(minutes=45)  # a subscription is renewed in the last third of this
AWAY = frozenset({"internal error", "408", "429", "502", "503", "504"})  # how a server answers that may take it later
AT_ONCE = 5  # deliveries that GitLab sends again in a minute
MOST_PAGES = 5  # of 100 rows


class Project(BaseModel):
    """A project."""

    project: Annotated[str, Pick("projects")] = Field(
        pattern=r"^[\w.-]+(/[\w.-]+)+$", description="Project, with its group", examples=["octo/hello-world"]
    )

    def at(self, path: str) -> str:
        """The address of something in it."""
        return f"/api/v4/projects/{quote(self.project, safe='')}/{path}"


def brought(request: Request, kind: str, action: str = "") -> dict[str, Any] | None:
    """What a delivery brings when it is of this kind and, if one is named, this action. Raises `Permanent`."""
    # https://docs.gitlab.com/user/project/integrations/webhook_events/
    body = request.json()
    if not isinstance(body, dict):
        raise Permanent("The delivery is no JSON object.")
    if body.get("object_kind") != kind or (action and body.get("object_attributes", {}).get("action") != action):
        return None
    return body


def delivery(request: Request) -> str:
    """The delivery's id, which stays when it is sent again."""
    return request.headers.get("Idempotency-Key", "")


def asked_for(action: Action, events: str) -> None:
    """Have GitLab asked for the deliveries of an action whose parameters are a `Project`."""

    async def subscribe(ctx: Context, params: Project, hook: Hook) -> Subscription:
        # https://docs.gitlab.com/api/project_webhooks/#list-webhooks-for-a-project
        for one in await pages(ctx, params.at("hooks").removeprefix("/api/v4")):
            if one["url"] == hook.url:
                return _looked_after(one["id"])
        wanted = {"push_events": False, events: True}  # pushes are on unless one says otherwise
        # https://docs.gitlab.com/api/project_webhooks/#add-a-webhook-to-a-project
        made = await ctx.http.post(
            params.at("hooks"), json={"url": hook.url, "token": hook.secret, "enable_ssl_verification": True, **wanted}
        )
        return _looked_after(made["id"])

    async def renew(ctx: Context, params: Project, hook: Hook, subscription: str) -> Subscription:  # noqa: ARG001
        # https://docs.gitlab.com/api/project_webhooks/#get-a-list-of-project-webhook-events
        path = params.at(f"hooks/{subscription}/events")
        told = parse(list[dict[str, Any]], await ctx.http.call("GET", path, params={"per_page": "100"}), "GitLab")
        last = ctx.state.get("last_failure", 0)
        failed = sorted(one["id"] for one in told if str(one["response_status"]) in AWAY and one["id"] > last)
        for number in failed[:AT_ONCE]:
            # https://docs.gitlab.com/api/project_webhooks/#resend-a-project-webhook-event
            await ctx.http.call("POST", f"{path}/{number}/resend")
            ctx.state["last_failure"] = number
        return _looked_after(subscription)

    async def unsubscribe(ctx: Context, params: Project, hook: Hook, subscription: str) -> None:  # noqa: ARG001
        # https://docs.gitlab.com/api/project_webhooks/#delete-project-webhook
        await ctx.http.call("DELETE", params.at(f"hooks/{subscription}"))

    action.subscribe(subscribe)
    action.renew(renew)
    action.unsubscribe(unsubscribe)


async def pages(ctx: Context, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """All rows of a list, up to five hundred."""
    rows: list[dict[str, Any]] = []
    number = "1"
    for _ in range(MOST_PAGES):
        params = {"per_page": "100", "page": number, **(query or {})}
        answer = await ctx.http.call("GET", f"/api/v4{path}", params=params)
        rows += parse(list[dict[str, Any]], answer, "GitLab")
        # https://docs.gitlab.com/api/rest/#pagination
        number = answer.headers.get("x-next-page", "")
        if not number:
            break
    return rows


def _looked_after(number: int | str) -> Subscription:
    return Subscription(str(number), expires_at=datetime.now(UTC) + LOOKED_AFTER)
