"""Reactions beside the vendors' own SDKs (from PyPI): both make the same call, and send the same request.

Compared are host, method, path, query, the token and the body, whether it is JSON or a form. `OURS`, `THEIRS` and
`APART` say where they differ.
"""

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from tests.npm import ROOT

from area.registry import registry
from area.sdk import ConnectorError
from area.sdk.testing import connector

pytestmark = pytest.mark.slow
TOKEN = "t0ken"
TRACK = "spotify:track:11dFghVXANMlKmJXsNCbNl"
PAGE = "59833787-2cf9-4fdf-8782-e53db20768a5"
LOGINS: dict[str, dict[str, str]] = {
    "stripe": {"api_key": TOKEN},
    "discord": {"token": TOKEN},
    "telegram": {"token": TOKEN},
    "mastodon": {"server": "https://social.example", "access_token": TOKEN},
}
CALLS: dict[str, dict[str, Any]] = {
    "stripe.create_customer": {"email": "a@example.org", "name": "Ann é", "phone": "+331"},
    "stripe.create_invoice_item": {
        "customer": "cus_1", "amount": "12.50", "currency": "eur", "description": "Work & travel"
    },
    "slack.post_message": {"channel": "C1", "text": "Hi é", "thread": "1.2"},
    "slack.add_reaction": {"channel": "C1", "ts": "1.2", "emoji": "tada"},
    "slack.set_topic": {"channel": "C1", "topic": "Now"},
    "slack.create_channel": {"name": "news", "private": True},
    "google_drive.create_folder": {"name": "Photos", "folder": "f1"},
    "google_drive.copy_file": {"file_id": "d1", "folder": "f1", "name": "Copy"},
    "outlook.send_mail": {"to": "a@example.org", "subject": "Hi", "text": "There é"},
    "notion.comment": {"page": PAGE, "text": "Hi é"},
    "notion.append_text": {"page": PAGE, "text": "Hi é"},
    "discord.send_message": {"server": "10", "channel": "11", "text": "Hi é"},
    "discord.add_role": {"server": "10", "user": "12", "role": "13"},
    "telegram.send_message": {"chat": "7", "text": "<b>Hi</b> é", "format": "HTML", "silent": True},
    "telegram.pin_message": {"chat": "7", "message_id": 9},
    "telegram.edit_message": {"chat": "7", "message_id": 9, "text": "New"},
    "spotify.queue_track": {"track": TRACK, "device": "d1"},
    "spotify.pause_playback": {"device": "d1"},
    "reddit.submit_link": {"subreddit": "python", "title": "News", "url": "https://example.org/?a=1&b=é"},
    "reddit.submit_text": {"subreddit": "python", "title": "News", "text": "Text"},
    "reddit.comment": {"target": "t3_abc", "text": "Hi é"},
    "reddit.save": {"target": "t3_abc"},
    "mastodon.post_status": {"text": "Hi é", "visibility": "unlisted", "warning": "CW", "language": "en"},
    "mastodon.favourite": {"status": "3"},
    "mastodon.boost": {"status": "3"},
    "mastodon.bookmark": {"status": "3"},
    "todoist.create_task": {
        "content": "Buy é", "description": "Two", "due": "tomorrow", "priority": "p2", "labels": ["a"]
    },
    "todoist.complete_task": {"task": "6X7"},
    "todoist.comment_on_task": {"task": "6X7", "text": "Hi é"},
    "jira.assign_issue": {"site": "https://acme.atlassian.net", "issue": "K-1", "assignee": "5b10"},
    "gitlab.open_issue": {"project": "ann/tools", "title": "Bug", "description": "é", "labels": ["a", "b"]},
    "gitlab.write_comment": {"project": "ann/tools", "number": 3, "body": "Hi é"},
    "gitlab.run_pipeline": {"project": "ann/tools", "variables": {"A": "1"}},
    "github.open_issue": {"repository": "ann/tools", "title": "Bug", "body": "é", "labels": ["a"], "assignees": ["bob"]},
    "github.star_repository": {"repository": "ann/tools"},
    "dropbox.create_folder": {"path": "/Photos é"},
    "dropbox.move": {"path": "/a", "to": "/b"},
    "twitch.announce": {"channel": "someone", "text": "Hi é", "color": "purple"},
    "twitch.send_message": {"channel": "someone", "text": "Hi é"},
}  # fmt: skip
# what AREA sends, and the SDK leaves out: what it wants back, and what keeps a retry from acting twice
OURS = {
    "google_drive": {"fields", "supportsAllDrives", "appProperties"},
    "discord": {"allowed_mentions", "nonce", "enforce_nonce"},
}
# what the SDK sends, and AREA leaves out, since it is the vendor's default or its client's own
THEIRS = {
    "google_drive": {"alt"},
    "discord": {"tts"},
    "dropbox": {"autorename", "allow_shared_folder", "allow_ownership_transfer"},
    "mastodon": {"sensitive"},
    "notion": {"object"},
    "reddit": {"nsfw", "sendreplies", "spoiler", "validate_on_submit"},
    "reddit.submit_text": {"resubmit"},
    "reddit.save": {"api_type", "raw_json"},
}
# where both differ, and why
APART = {
    "slack.create_channel": ("is_private", "true or 1 in a form"),
    "reddit.submit_link": ("resubmit", "a retry must not submit a link a second time"),
    "outlook.send_mail": ("name", "Graph's description wants the name of a recipient"),
    "gitlab.open_issue": ("labels", "names with commas between them, as the reference has it, or a list"),
    "twitch.send_message": ("broadcaster_id sender_id message", "the reference has them in the body"),
}
# what is answered, so that both go on to what they are compared by
ANSWERS: dict[str, Any] = {
    "/api/v10/users/@me": {"id": "9", "username": "area", "discriminator": "0", "avatar": None},
    f"/bot{TOKEN}/getMe": {"ok": True, "result": {"id": 1, "is_bot": True, "first_name": "A", "username": "area_bot"}},
    "/api/v1/access_token": {"access_token": TOKEN, "expires_in": 3600, "scope": "*", "token_type": "bearer"},
    "/repos/ann/tools": {"full_name": "ann/tools", "owner": {"login": "ann"}, "name": "tools"},
    "/user": {"login": "me", "url": "/user"},
    "/helix/users": {"data": [{"id": "1", "login": "someone", "display_name": "Someone"}]},
    "/helix/chat/messages": {"data": [{"message_id": "1", "is_sent": True}]},
    "/oauth/token/accessible-resources": [{"id": "s1", "name": "acme", "url": "https://acme.atlassian.net"}],
    "/v1/tracks/11dFghVXANMlKmJXsNCbNl": {"id": "1", "name": "Cut", "uri": TRACK, "type": "track"},
}
LOGIN = ("/access_token", "/getMe")


@dataclass
class Sent:
    """A request: what is compared, in the order of its name."""

    host: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    token: str


@dataclass
class Recorder:
    """A server that keeps what is written to it, by the call that was said to begin. It plays every vendor."""

    requests: dict[str, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    call: str = ""
    access: Any = None
    url: str = ""

    async def __aenter__(self) -> Self:
        self._server = RawTestServer(self._answer)
        await self._server.start_server()
        self.url = str(self._server.make_url("/")).rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def plays(self, _url: str) -> bool:
        return True

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        path = request.rel_url.raw_path
        if path.startswith("/-/"):
            self.call = path.removeprefix("/-/")
            return web.Response()
        raw = await request.read()
        if request.method != "GET" and not path.endswith(LOGIN):
            path = path.replace("//", "/").rstrip("/")
            host, query = request.host.removesuffix(":443"), dict(request.query)
            token = request.headers.get("Authorization", "").rpartition(" ")[2]
            body = _plain(request.content_type, raw)
            self.requests[self.call].append(Sent(host, request.method, path, query, body, token))
        return web.json_response(ANSWERS.get(request.rel_url.raw_path, {"ok": True, "result": {}, "data": [{}]}))


def _plain(content_type: str, raw: bytes) -> Any:
    """A body as data, in which nothing tells apart a form and JSON."""
    if not raw:
        return {}
    if "json" in content_type or raw[:1] in b"{[":
        return _texts(json.loads(raw))
    return {name: _texts(_parsed(value)) for name, value in parse_qsl(raw.decode(), keep_blank_values=True)}


def _parsed(value: str) -> Any:
    with suppress(ValueError):
        return json.loads(value) if value[:1] in ("{", "[") else value
    return value


def _texts(value: Any) -> Any:
    """Without what is null or empty, or a type that OData repeats, and with numbers and yes or no as text."""
    if isinstance(value, dict):
        kept = {name: _texts(item) for name, item in value.items() if item not in (None, "", [], {})}
        return {name: item for name, item in kept.items() if name != "@odata.type"}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs() -> AsyncIterator[dict[str, list[Sent]]]:
    """What the SDKs send, by call."""
    python = Path(sys.prefix) / "servers" / "vendors" / "bin" / "python"
    if not python.exists():
        pytest.skip("not run: the vendors' SDKs are missing (`make test-slow` installs them)")
    async with Recorder() as recorder:
        port = recorder.url.rpartition(":")[2]
        script = ROOT / "tests" / "servers" / "call_sdks.py"
        process = await asyncio.create_subprocess_exec(python, script, port, stderr=subprocess.PIPE)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        yield recorder.requests


async def ours(name: str) -> list[Sent]:
    """What the reaction sends."""
    slug, _, reaction = name.partition(".")
    service = registry().services[slug]
    component = service.reactions[reaction]
    login = service.auth.model(**LOGINS[slug]) if slug in LOGINS else None  # type: ignore[union-attr]
    async with Recorder() as recorder, connector(service, recorder, credential=login, token=TOKEN) as ctx:  # type: ignore[arg-type]
        recorder.call = name
        ctx.idempotency_key = "7"
        with suppress(ConnectorError):  # the answers say little
            await component.function(ctx, component.params(**CALLS[name]))
        return recorder.requests[name]


def without(value: Any, names: set[str]) -> Any:
    """A body or query without these members, wherever they are."""
    if isinstance(value, dict):
        return {name: without(item, names) for name, item in value.items() if name not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def compared(sent: Sent, names: set[str]) -> Sent:
    return replace(sent, query=without(sent.query, names), body=without(sent.body, names))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CALLS)
async def test_the_request_is_the_sdks(theirs: dict[str, list[Sent]], name: str) -> None:
    slug = name.partition(".")[0]
    sent, wanted = await ours(name), theirs[name]
    assert sent, "AREA sent nothing"
    assert wanted, "the SDK sent nothing"
    apart = set(APART.get(name, ("", ""))[0].split())
    mine = compared(sent[-1], OURS.get(slug, set()) | apart)
    assert mine == compared(wanted[-1], THEIRS.get(slug, set()) | THEIRS.get(name, set()) | apart)
