"""Microsoft Graph is asked to tell of changes, and is believed when it holds what was agreed. Against its description."""

from datetime import datetime, timedelta

import pytest

from area.kit.clock import now
from area.registry import registry
from area.sdk import Hook, Nothing, Permanent, Refused, Reply
from area.sdk.testing import Double, connector
from area.sdk.testing.engine import delivery
from area.sdk.testing.msgraph import graph
from area.vendors.microsoft import GRAPH

HOOK = Hook("https://area.example/hints/t0ken", "s3cret")
DAYS, HOUR = timedelta(minutes=4230), timedelta(hours=1)
ASKED = [
    ("outlook.new_mail", {}, "me/mailFolders('inbox')/messages", "created", DAYS),
    ("outlook.new_mail_matching", {"query": "a"}, "me/messages", "created", DAYS),
    ("outlook.mail_flagged", {}, "me/messages", "updated", DAYS),
    ("onedrive.new_file", {"folder": "01B"}, "me/drive/root", "updated", DAYS),
    ("onedrive.file_changed", {}, "me/drive/root", "updated", DAYS),
    ("onedrive.new_folder", {}, "me/drive/root", "updated", DAYS),
    ("microsoft_todo.task_created", {"list": "AQ="}, "/me/todo/lists/AQ=/tasks", "created,updated", DAYS),
    ("microsoft_todo.task_completed", {"list": "AQ="}, "/me/todo/lists/AQ=/tasks", "created,updated", DAYS),
    ("teams.new_channel_message", {"team": "t", "channel": "19:c@x"}, "/teams/t/channels/19:c@x/messages", "created", HOUR),
    ("teams.new_chat_message", {"chat": "19:c@x"}, "/chats/19:c@x/messages", "created", HOUR),
    ("teams.new_channel", {"team": "t"}, "/teams/t/channels", "created", HOUR),
]  # fmt: skip


def test_all_are_here():
    answer = {action.key for each in registry().services.values() for action in each.actions.values() if action.hint}
    services = {name.partition(".")[0] for name, *_ in ASKED}
    assert {row for row in answer if row.partition(".")[0] in services} == {name for name, *_ in ASKED}


@pytest.mark.parametrize(("key", "params", "resource", "changes", "longest"), ASKED)
async def test_what_is_asked_for(key, params, resource, changes, longest):
    action, result = registry().action(key), {}

    def kept(request):
        result.update(request.json, id="7f10")
        return result

    async with Double(graph, at=GRAPH) as double, connector(action.service, double) as ctx:
        double.on("GET", "/subscriptions", lambda _: {"value": [result] if result else []})
        double.on("POST", "/subscriptions", kept)
        double.on("PATCH", "/subscriptions/{subscription-id}", kept)
        sent = action.params(**params)
        first = await action.hint.subscribe(ctx, sent, HOOK)
        expected = {"resource": resource, "changeType": changes, "notificationUrl": HOOK.url, "clientState": "s3cret"}
        assert result.items() >= expected.items()
        assert (first.id, first.expires_at) == ("7f10", datetime.fromisoformat(result["expirationDateTime"]))
        assert longest - timedelta(minutes=6) < first.expires_at - now() <= longest
        assert (await action.hint.subscribe(ctx, sent, HOOK)).id == "7f10", "found rather than made twice"
        assert [request_sent.method for request_sent in double.asked] == ["GET", "POST", "GET", "PATCH"]
        assert set(double.asked[-1].json) == {"expirationDateTime"}
        await action.hint.unsubscribe(ctx, sent, HOOK, "7f10")
        assert (double.asked[-1].method, double.asked[-1].params) == ("DELETE", {"subscription-id": "7f10"})
        double.fails(404, {"error": {"code": "ExtensionError", "message": "Gone"}})
        with pytest.raises(Permanent):
            await action.hint.renew(ctx, sent, HOOK, "7f10")


def test_its_question_is_answered_and_its_word_is_checked():
    hint = registry().action("outlook.new_mail").hint
    assert hint.handshake(delivery(query={"validationToken": "Validation: a+b"})) == Reply("Validation: a+b")
    answer = {"value": [{"subscriptionId": "7f10", "clientState": "s3cret", "changeType": "created"}]}
    assert hint.handshake(delivery(json=answer)) is None
    hint.verify.check(delivery(json=answer), "s3cret", Nothing())
    other = {"value": [*answer["value"], {"clientState": "other"}]}
    for wrong in ({"value": []}, {}, [], {"value": [{}]}, {"value": [{"clientState": None}]}, other):
        with pytest.raises(Refused):
            hint.verify.check(delivery(json=wrong), "s3cret", Nothing())
    for body in (b"", b"{"):
        with pytest.raises(Refused):
            hint.verify.check(delivery(body=body), "s3cret", Nothing())
    with pytest.raises(Refused):
        hint.verify.check(delivery(json={"value": [{"clientState": ""}]}), "", Nothing())
