"""GitHub's webhooks: where they hang, what they bring, and how GitHub is asked for them.

GitHub sends a delivery once and forgets it. So a hook is looked after every half hour: what could not be delivered, because this
server was away or busy, is sent again; the id of a delivery stays the same.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from area.sdk import Action, Context, Hook, Permanent, Pick, Request, Subscription, hmac_sha256, parse

SIGNED = hmac_sha256("X-Hub-Signature-256", prefix="sha256=")
# https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
REPOSITORY_HOOKS, ORGANIZATION_HOOKS = "admin:repo_hook", "admin:org_hook"
LOOKED_AFTER = timedelta(minutes=45)  # a subscription is renewed in the last third of this
AWAY = frozenset({0, 408, 429, 502, 503, 504})  # what a delivery is answered by a server that may take it later
MOST_PAGES = 10  # of 100 rows
REPOSITORY = r"^[\w.-]+/[\w.-]+$"


class Repository(BaseModel):
    """A repository."""

    repository: Annotated[str, Pick("repositories")] = Field(
        pattern=REPOSITORY, description="Repository", examples=["octocat/hello-world"]
    )

    def hooks(self) -> str:
        """Where its hooks are."""
        return f"/repos/{self.repository}/hooks"


class Organization(BaseModel):
    """An organization."""

    organization: Annotated[str, Pick("organizations")] = Field(
        pattern=r"^[\w.-]+$", description="Organization", examples=["octo-org"]
    )

    def hooks(self) -> str:
        """Where its hooks are."""
        return f"/orgs/{self.organization}/hooks"


class Place(BaseModel):
    """A repository, or all of an organization."""

    place: Annotated[str, Pick("places")] = Field(
        pattern=r"^[\w.-]+(/[\w.-]+)?$",
        description="Repository, or an organization for all of its repositories",
        examples=["octocat/hello-world"],
    )

    def hooks(self) -> str:
        """Where its hooks are."""
        return f"/repos/{self.place}/hooks" if "/" in self.place else f"/orgs/{self.place}/hooks"


Target = Repository | Organization | Place


def brought(request: Request, event: str, *actions: str) -> dict[str, Any] | None:
    """What a delivery brings when it is of this event and, if any are named, one of these actions. Raises `Permanent`."""
    # https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
    if request.headers.get("X-GitHub-Event") != event:
        return None
    body = request.json()
    if not isinstance(body, dict):
        raise Permanent("The delivery is no JSON object; the webhook's content type must be application/json.")
    return body if not actions or body.get("action") in actions else None


def delivery(request: Request) -> str:
    """The delivery's id, which stays when it is sent again."""
    return request.headers.get("X-GitHub-Delivery", "")


def asked_for(action: Action, event: str) -> None:
    """Have GitHub asked for the deliveries of an action whose parameters are a `Target`."""

    async def subscribe(ctx: Context, params: Target, hook: Hook) -> Subscription:
        for one in await pages(ctx, params.hooks()):
            if one["config"].get("url") == hook.url:
                return _looked_after(one["id"])
        config = {"url": hook.url, "content_type": "json", "secret": hook.secret, "insecure_ssl": "0"}
        # https://docs.github.com/rest/repos/webhooks#create-a-repository-webhook
        # https://docs.github.com/rest/orgs/webhooks#create-an-organization-webhook
        made = await ctx.http.post(
            params.hooks(), json={"name": "web", "active": True, "events": [event], "config": config}
        )
        return _looked_after(made["id"])

    async def renew(ctx: Context, params: Target, hook: Hook, subscription: str) -> Subscription:
        # https://docs.github.com/rest/repos/webhooks#list-deliveries-for-a-repository-webhook
        deliveries = f"{params.hooks()}/{subscription}/deliveries"
        failed = await pages(ctx, deliveries, {"status": "failure"})
        again = {one["guid"]: one["id"] for one in reversed(failed) if one["status_code"] in AWAY}  # newest first
        last = ctx.state.get("last_failure", 0)
        for number in again.values():
            if number > last:  # it has not been tried since
                # https://docs.github.com/rest/repos/webhooks#redeliver-a-delivery-for-a-repository-webhook
                await ctx.http.call("POST", f"{deliveries}/{number}/attempts")
        ctx.state["last_failure"] = max([last, *(one["id"] for one in failed)])
        return _looked_after(subscription)

    async def unsubscribe(ctx: Context, params: Target, hook: Hook, subscription: str) -> None:
        # https://docs.github.com/rest/repos/webhooks#delete-a-repository-webhook
        await ctx.http.call("DELETE", f"{params.hooks()}/{subscription}")

    action.subscribe(subscribe)
    action.renew(renew)
    action.unsubscribe(unsubscribe)


async def pages(ctx: Context, path: str, query: Mapping[str, str] | None = None) -> list[Any]:
    """All rows of a list, up to a thousand."""
    found: list[Any] = []
    address, params = path, {"per_page": "100", **(query or {})}
    for _ in range(MOST_PAGES):
        answer = await ctx.http.call("GET", address, params=params)
        found += parse(list[Any], answer, "GitHub")
        # https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        if not following:
            break
        address, params = following[1], {}
    return found


def _looked_after(number: int | str) -> Subscription:
    return Subscription(str(number), expires_at=datetime.now(UTC) + LOOKED_AFTER)
