"""An installation that has been lived in: AREAs in every state, runs of every kind, notices, a token."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.web.conftest import Person

FEED = "https://example.org/feed.xml"


@dataclass
class World:
    """What there is to look at, by id."""

    webhook: dict[str, Any]
    failing: dict[str, Any]
    timer: dict[str, Any]
    done: int
    failed: int

    def pages(self) -> dict[str, str]:
        """Every page of somebody who is signed in: its name and its address."""
        return {
            "home": "/",
            "home-filtered": "/?state=trouble",
            "home-nothing": "/?q=nothing+like+this",
            "new": "/areas/new",
            "new-recipe": "/areas/new?template=feed",
            "new-chain": "/areas/new?template=site-check",
            "templates": "/templates",
            "templates-nothing": "/templates?q=nothing+like+this",
            "edit": f"/areas/{self.webhook['id']}/edit",
            "area": f"/areas/{self.webhook['id']}",
            "area-failing": f"/areas/{self.failing['id']}",
            "area-timer": f"/areas/{self.timer['id']}",
            "runs": "/runs",
            "runs-failed": "/runs?status=failed",
            "run": f"/runs/{self.done}",
            "run-failed": f"/runs/{self.failed}",
            "services": "/services",
            "service": "/services/rss",
            "service-connect": "/services/email",
            "service-http": "/services/http",
            "service-unregistered": "/services/github",
            "inbox": "/inbox",
            "profile": "/profile",
            "profile-security": "/profile/security",
            "two-factor": "/profile/two-factor",
            "profile-tokens": "/profile/tokens",
            "profile-data": "/profile/data",
            "help": "/help",
            "help-service": "/help/rss",
        }


ADMIN = {
    "admin": "/admin",
    "admin-users": "/admin/users",
    "admin-services": "/admin/services",
    "admin-clients": "/admin/clients",
    "admin-health": "/admin/health",
    "admin-audit": "/admin/audit",
}
FRONT = {"sign-in": "/sign-in", "sign-up": "/sign-up", "offline": "/offline", "forgot-password": "/forgot-password"}


async def furnish(person: Person) -> World:
    """Live in it for a few seconds."""
    webhook = await person.make(
        "webhook.received",
        "inbox.post",
        "Orders of the shop",
        reaction_parameters={"title": "Order {{body.number}}", "body": "{{body.total}} € from {{body.customer}}"},
    )
    failing = await person.make(
        "webhook.received",
        "http.request",
        "Forward readings to the office",
        reaction_parameters={"url": "http://127.0.0.1:2/readings", "body": '{"value": "{{body.value}}"}'},
    )
    filtered = await person.make(
        "webhook.received",
        "inbox.post",
        "Only what is urgent",
        action_parameters={"only_if": 'body.level == "urgent"'},
        reaction_parameters={"title": "{{body.text}}", "level": "warning"},
    )
    timer = await person.make(
        "timer.daily_timer",
        "inbox.post",
        "A reminder every morning",
        action_parameters={"time": "08:00", "timezone": "Europe/Paris"},
        reaction_parameters={"title": "Good morning, it is {{weekday}}"},
    )
    await person.make(
        "rss.new_item",
        "inbox.post",
        "Releases of CPython with a name so long that it has to be broken over several lines on a telephone",
        action_parameters={"url": "https://github.com/python/cpython/releases.atom"},
        reaction_parameters={"title": "{{title}}", "body": "{{link}}"},
    )
    await person.make(
        "http.value_changed",
        "email.send_email",
        "A mail when the price changes",
        action_parameters={"url": "https://api.example.com/status", "path": "data.price"},
        reaction_parameters={"to": "ann@example.org", "subject": "It is now {{value}}", "text": "It was {{previous}}."},
    )
    await person.make(
        "webhook.received", "inbox.post", "Switched off", is_active=False, reaction_parameters={"title": "never"}
    )
    orders = [
        {"number": 4711, "total": "19.90", "customer": "Ada Lovelace"},
        {"number": 4712, "total": "240.00", "customer": "Grace Hopper", "items": [{"sku": "A-1", "count": 3}]},
        {"number": 4713, "total": "7.50", "customer": "Alan Turing", "note": "Leave it at the door, please. " * 12},
    ]
    done = 0
    for order in orders:
        done = await _send(person, webhook, order)
    failed = await _send(person, failing, {"value": 21.5})
    await _send(person, filtered, {"level": "low", "text": "nothing"})
    await _send(person, filtered, {"level": "urgent", "text": "The cellar is under water"})
    for _ in range(600):
        statuses = {run["id"]: run["status"] for run in (await person.api("GET", "/api/executions"))["items"]}
        if statuses.get(done) == "success" and statuses.get(failed) in ("pending", "failed"):
            break
        await asyncio.sleep(0.1)
    return World(webhook, failing, timer, done, failed)


async def _send(person: Person, area: dict[str, Any], body: Any) -> int:
    answer = await person.context.request.post(area["webhook_url"], data=body)
    number: int = (await answer.json())["execution_id"]
    return number
