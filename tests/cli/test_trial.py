import asyncio
import json
import threading

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.peers import LOGIN, PASSWORD, dovecot, mail

FEED = """<rss version="2.0"><channel><title>Blog</title>
<item><title>One</title><guid>1</guid><pubDate>Mon, 23 Nov 2026 10:00:00 GMT</pubDate></item>
<item><title>Two</title><guid>2</guid><pubDate>Mon, 23 Nov 2026 11:00:00 GMT</pubDate></item></channel></rss>"""


@pytest.fixture
async def peer(monkeypatch):
    """A feed and a mirror, on loopback, which is allowed."""

    async def answer(incoming):
        if incoming.path == "/feed":
            return web.Response(text=FEED, content_type="application/rss+xml")
        return web.json_response({"got": await incoming.text()})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(application)
    await server.start_server()
    monkeypatch.setenv("AREA_ALLOW_PRIVATE_NETWORK", "127.0.0.1")
    yield server
    await server.close()


async def test_a_poll_prints_the_events_that_it_sees(no_database, peer):
    url = f"url={peer.make_url('/feed')}"
    printed = await asyncio.to_thread(no_database.ok, "try", "rss.new_item", url, "--json")
    events = [json.loads(line) for line in printed.splitlines()]
    assert [(event["id"], event["data"]["title"]) for event in events[::-1]] == [("1", "One"), ("2", "Two")]
    result = await asyncio.to_thread(no_database, "try", "rss.new_item", url, "only_if=title == 'Two'", "--limit", "2")
    assert result.stdout.count("skipped only_if is false") == 1
    assert "Stopped at --limit 2" in result.stderr


async def test_the_guard_is_on(no_database, peer, monkeypatch):
    monkeypatch.delenv("AREA_ALLOW_PRIVATE_NETWORK")
    url = f"url={peer.make_url('/feed')}"
    assert "127.0.0.1" in await asyncio.to_thread(no_database.refuses, "try", "rss.new_item", url)


def test_a_timer_prints_its_next_five_instants(no_database):
    printed = no_database.ok("try", "timer.daily_timer", "time=09:00", "timezone=Europe/Paris", "--json")
    assert [json.loads(line)["hour"] for line in printed.splitlines()] == ["09:00"] * 5
    assert len(no_database.ok("try", "timer.interval_timer", "interval=90s").splitlines()) == 5
    past = no_database("try", "timer.once_at", "at=2001-01-01T00:00")
    assert past.exit_code in (0, 1)
    assert "Traceback" not in past.output


def test_a_webhook_prints_its_sample_or_what_it_makes_of_a_request(no_database, tmp_path):
    assert "order.paid" in no_database.ok("try", "webhook.received")
    described = {"json": {"order": {"id": 7}}, "headers": {"Idempotency-Key": "7"}, "query": {"a": "b"}}
    (tmp_path / "request.json").write_text(json.dumps(described))
    printed = no_database.ok("try", "webhook.received", "pick=order.id", "--request", "request.json", "--json")
    event = json.loads(printed)
    assert event["id"] == "idempotency-key:7"
    assert event["data"]["picked"] == 7
    signed = ("signature=hmac_sha256", "secret=a secret that nobody knows")
    assert "Rejected" in no_database.refuses("try", "webhook.received", *signed, "--request", "request.json")
    (tmp_path / "request.json").write_text('{"boddy": 1}')
    assert "boddy" in no_database.refuses("try", "webhook.received", "--request", "request.json")


async def test_a_reaction_is_only_called_when_told_to(no_database, peer):
    parameters = (f"url={peer.make_url('/')}", "body=hello")
    result = await asyncio.to_thread(no_database, "try", "http.request", *parameters, "--json")
    assert "Nothing was sent" in result.stderr
    assert json.loads(result.stdout)["body"] == "hello"
    printed = await asyncio.to_thread(no_database.ok, "try", "http.request", *parameters, "--send", "--json")
    assert json.loads(printed)["body"] == {"got": "hello"}


def test_parameters_from_a_file(no_database, tmp_path):
    (tmp_path / "parameters.json").write_text('{"title": "From a file", "level": "error"}')
    printed = no_database.ok("try", "inbox.post", "level=info", "--parameters", "parameters.json", "--json")
    assert json.loads(printed) == {"title": "From a file", "body": "", "level": "info"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("rss.new_itm",), 'did you mean "rss.new_item"'),
        (("rss.new_item",), "parameters.url: Field required"),
        (("rss.new_item", "url"), "Write it as name=value"),
        (("rss.new_item", "uri=x"), "has no parameter 'uri'"),
        (("rss.new_item", "url=https://example.org", "only_if=titel == 1"), "titel"),
        (("rss.new_item", "url=https://example.org", "only_if=title =="), "only_if"),
        (("rss.new_item", "url=https://example.org", "--since", "soon"), "--since"),
        (("inbox.post", "title=x", "--send"), "Choose one with --user"),
        (("inbox.post", "title=x", "--send", "--credential", "c.json"), "needs no connection"),
        (("email.new_email",), "needs a connection"),
        (("email.new_email", "--credential", "c.json"), "credential: Enter an IMAP server"),
        (("email.new_email", "--credential", "none.json"), "No such file"),
        (("inbox.post", "--parameters", "none.json"), "No such file"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(no_database, tmp_path, arguments, sentence):
    (tmp_path / "c.json").write_text("{}")
    assert sentence in no_database.refuses("try", *arguments)


def test_a_listener_prints_what_it_hears(no_database, tmp_path, monkeypatch):
    monkeypatch.setenv("AREA_ALLOW_PRIVATE_NETWORK", "127.0.0.1")
    with dovecot() as peer:
        account = {"imap_host": "127.0.0.1", "imap_port": peer.port, "imap_security": "none"}
        (tmp_path / "account.json").write_text(json.dumps({**account, "login": LOGIN, "password": PASSWORD}))
        over = threading.Event()

        def deliver():
            while not over.wait(0.5):
                peer.deliver(mail("Hello"))

        delivering = threading.Thread(target=deliver)
        delivering.start()
        options = ("--credential", "account.json", "--seconds", "30", "--limit", "1", "--json")
        printed = no_database.ok("try", "email.new_email", *options)
        over.set()
        delivering.join()
    assert json.loads(printed)["data"]["subject"] == "Hello"


def test_for_an_account_it_is_done_in_its_name(area):
    area.user("ann")
    assert (
        json.loads(area.ok("try", "inbox.post", "title=Hello", "--send", "--user", "ann", "--json"))["notice_id"] == 1
    )
    assert "no usable connection to" in area.refuses("try", "email.new_email", "--user", "ann")
    named = ("try", "email.new_email", "--connection", "Work")
    assert "You have no connection 'Work' to E-mail" in area.refuses(*named, "--user", "ann")
    assert "requires --user" in area.refuses(*named)
