"""What Google's services share: who it is, what is asked for, and what a refusal means."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from area.kit.clock import now
from area.kit.oauth2 import authorization_address
from area.registry import registry
from area.sdk import Hook, Nothing, Permanent, Refused, Reply, Retry, Service
from area.sdk.testing import Double, connector, discovered
from area.sdk.testing.engine import delivery
from area.vendors.google import HOSTS, PAGES, google, refusal, scope

service = Service(
    "one",
    "One",
    "One of Google's.",
    base_url="https://one.googleapis.com",
    auth=google(login=True),
    hosts=HOSTS,
    pages=PAGES,
    refusal=refusal,
)


@pytest.fixture
async def vendor():
    async with Double(None, at="https://*.googleapis.com") as double:
        yield double


def refused(*reasons, info=""):
    """As https://developers.google.com/workspace/drive/api/guides/handle-errors and https://google.aip.dev/193 have it."""
    error = {
        "code": 403,
        "message": "No.",
        "errors": [{"domain": "usageLimits", "reason": reason} for reason in reasons],
    }
    if info:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info}]
    return {"error": error}


async def test_who_it_is(vendor):
    vendor.on("GET", "/v1/userinfo", {"sub": "1", "name": "Ada", "email": "ada@example.com", "email_verified": True})
    async with connector(service, vendor) as ctx:
        account = await service.auth.account(ctx)
        assert (account.id, account.name, account.email, account.email_verified) == (
            "1", "ada@example.com", "ada@example.com", True,
        )  # fmt: skip
        vendor.on("GET", "/v1/userinfo", {"sub": "1", "name": "Ada", "email": "x@example.com", "email_verified": "no"})
        assert not (await service.auth.account(ctx)).email_verified
        vendor.on("GET", "/v1/userinfo", {})
        with pytest.raises(Permanent, match="didn't identify your account"):
            await service.auth.account(ctx)
    assert vendor.asked[0].headers["Authorization"] == "Bearer t0ken"


def test_what_is_asked_for():
    auth = service.auth

    def asked(server, scopes):
        url = authorization_address(server, "id", redirect_uri="https://a/b", state="s", challenge="c", scopes=scopes)
        return parse_qs(urlsplit(url).query)

    connecting = asked(auth.server, auth.scopes)
    assert (connecting["access_type"], connecting["prompt"]) == (["offline"], ["consent"])
    assert connecting["scope"] == [f"openid {scope('userinfo.email')} {scope('userinfo.profile')}"]
    assert "include_granted_scopes" not in connecting
    assert not {"access_type", "prompt"} & set(asked(auth.login_server, auth.login_scopes))
    assert (auth.client, auth.vendor, google().login_scopes) == ("google", "Google", None)


@pytest.mark.parametrize(
    ("body", "error", "after"),
    [
        (refused("rateLimitExceeded"), Retry, timedelta(minutes=1)),
        (refused("userRateLimitExceeded"), Retry, timedelta(minutes=1)),
        (refused(info="RATE_LIMIT_EXCEEDED"), Retry, timedelta(minutes=1)),
        (refused("quotaExceeded"), Retry, timedelta(hours=1)),
        (refused("dailyLimitExceeded"), Retry, timedelta(hours=1)),
        (refused("insufficientPermissions"), Permanent, "Connect again"),
        (refused(info="ACCESS_TOKEN_SCOPE_INSUFFICIENT"), Permanent, "Connect again"),
        (refused("accessNotConfigured", info="SERVICE_DISABLED"), Permanent, "An administrator"),
        (refused("forbidden"), Permanent, "No."),
        ({"error": "no"}, Permanent, "403"),
        ([], Permanent, "403"),
        (b"<html>", Permanent, "403"),
    ],
)
async def test_what_a_403_means(vendor, body, error, after):
    vendor.on("GET", "/x", {})
    vendor.fails(403, body)
    async with connector(service, vendor) as ctx:
        with pytest.raises(error) as caught:
            await ctx.http.get("/x")
    if error is Retry:
        assert caught.value.after == after
        assert caught.value.parks
    else:
        assert after in str(caught.value)


async def test_a_403_may_say_how_long_to_wait(vendor):
    vendor.on("GET", "/x", {})
    vendor.fails(403, refused("quotaExceeded"), Retry_After="7")
    async with connector(service, vendor) as ctx:
        with pytest.raises(Retry) as caught:
            await ctx.http.get("/x")
    assert (caught.value.after, caught.value.parks) == (timedelta(seconds=7), True)


async def test_pages(vendor):
    result = {None: {"items": [{"id": "1"}, {"id": "2"}], "nextPageToken": "b"}, "b": {"items": [{"id": "3"}]}}
    vendor.on("GET", "/list", lambda request: result[request.query.get("pageToken")])
    async with connector(service, vendor) as ctx:
        for most, expected in ((9, "123"), (3, "123"), (2, "12"), (1, "1")):
            seen = [row["id"] async for row in ctx.http.rows("/list", params={"q": "x"}, most=most)]
            assert "".join(seen) == expected
        assert {request.query["q"] for request in vendor.asked} == {"x"}


# Hints, against Google's discovery documents

HOOK = Hook("https://area.example/hints/t0ken", "s3cret")
EVENTS = "/calendar/v3/calendars/{calendarId}/events/watch"
WATCHED = [
    ("google_calendar.event_added", {"calendar": "a/b@x"}, EVENTS, {}),
    ("google_calendar.event_changed", {}, EVENTS, {}),
    ("google_calendar.event_cancelled", {}, EVENTS, {}),
    ("google_drive.file_added", {}, "/drive/v3/changes/watch", {"pageToken": "7"}),
    ("google_drive.file_changed", {}, "/drive/v3/changes/watch", {"pageToken": "7"}),
    ("google_drive.file_shared", {}, "/drive/v3/changes/watch", {"pageToken": "7"}),
]


@pytest.mark.parametrize(("key", "params", "route", "query"), WATCHED)
async def test_a_channel_is_opened_and_stopped(key, params, route, query):
    action = registry().action(key)
    ends = datetime.fromtimestamp(int(now().timestamp()) + 3600, UTC)
    api = "/".join(route.split("/")[:3])
    async with (
        Double(discovered(f"{api.split('/')[1]}.v3")) as double,
        connector(action.service, double) as ctx,
    ):
        if query:
            double.on("GET", "/drive/v3/changes/startPageToken", {"startPageToken": "7"})
        answer = {"resourceId": "r1", "expiration": str(int(ends.timestamp() * 1000))}
        double.on("POST", route, lambda request: {"id": request.json["id"], **answer})
        created = await action.hint.subscribe(ctx, action.params(**params), HOOK)
        expected = double.asked[-1]
        assert expected.json.items() >= {"type": "web_hook", "address": HOOK.url, "token": "s3cret"}.items()
        week = datetime.fromtimestamp(int(expected.json["expiration"]) / 1000, UTC) - now()
        assert timedelta(days=6, hours=23) < week <= timedelta(days=7)
        assert expected.params == ({"calendarId": params.get("calendar", "primary")} if not query else {})
        assert {name: expected.query[name] for name in query} == query
        assert (created.id, created.expires_at) == (f"{expected.json['id']} r1", ends)
        again = await action.hint.subscribe(ctx, action.params(**params), HOOK)
        assert again.id != created.id, "ids can't be used again"
        await action.hint.unsubscribe(ctx, action.params(**params), HOOK, created.id)
        assert (double.asked[-1].path, double.asked[-1].json) == (
            f"{api}/channels/stop", {"id": expected.json["id"], "resourceId": "r1"},
        )  # fmt: skip
        double.fails(404, {"error": {"code": 404, "message": "Channel not found", "errors": []}})
        await action.hint.unsubscribe(ctx, action.params(**params), HOOK, created.id)


def test_the_first_message_of_a_channel_is_no_news():
    hint = registry().action("google_calendar.event_added").hint
    headers = {"X-Goog-Resource-State": "sync", "X-Goog-Channel-Token": "s3cret"}
    assert hint.handshake(delivery(headers=headers)) == Reply()
    news = headers | {"X-Goog-Resource-State": "exists"}
    assert hint.handshake(delivery(headers=news)) is None
    hint.verify.check(delivery(headers=news), "s3cret", Nothing())
    for secret, token in (("s3cret", "other"), ("s3cret", ""), ("", "")):
        with pytest.raises(Refused):
            hint.verify.check(delivery(headers=news | {"X-Goog-Channel-Token": token}), secret, Nothing())
