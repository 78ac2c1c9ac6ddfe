"""What an event brings never changes the structure of what is sent: each field of a reaction is filled with what would."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from area.areas.plans import Config, compile_config
from area.kit.budget import Budget
from area.kit.template import RenderError
from area.registry import registry
from area.sdk import Reaction
from area.sdk.fields import fields

REACTIONS = {
    reaction.key: reaction for service in registry().services.values() for reaction in service.reactions.values()
}

# Texts without a shape, a pattern or choices: whom they reach takes the whole of one for one thing, whatever it holds.
# They are strings of JSON, fields of a form, or one segment of a path (`quoted`).
WHOLE = """
    bluesky     create_post.reply_to create_post.link_title create_post.link_description create_post.alt_text
                like_post.post repost.post
    discord     create_thread.name add_reaction.emoji
    dropbox     write_text.text
    email       send_email.subject send_email.text reply_to_email.message_id reply_to_email.folder reply_to_email.text
                move_email.message_id move_email.folder move_email.to_folder mark_email.message_id mark_email.folder
    github      find_issue.words open_issue.title open_pull_request.title open_pull_request.head open_pull_request.base make_gist.filename make_gist.content
                make_gist.description run_workflow.workflow run_workflow.ref
    gitlab      open_issue.title open_merge_request.title open_merge_request.source open_merge_request.target run_pipeline.ref
    gmail       find_mail.search send_mail.subject send_mail.text reply_to_mail.message_id reply_to_mail.text create_draft.subject create_draft.text
                add_label.message_id add_label.label remove_label.message_id remove_label.label
    google_calendar
                find_event.calendar find_event.query
                create_event.calendar create_event.title create_event.timezone create_event.description create_event.location
                quick_add.calendar invite.calendar invite.event_id cancel_event.calendar cancel_event.event_id
    google_drive
                find_file.words
                create_text_file.name create_text_file.text upload_file.name create_folder.name copy_file.file_id copy_file.name
                move_file.file_id share_file.file_id share_file.message
    google_sheets
                find_row.spreadsheet find_row.sheet find_row.key find_row.value
                append_row.spreadsheet append_row.sheet update_cells.spreadsheet update_cells.sheet update_row.spreadsheet
                update_row.sheet update_row.key add_sheet.spreadsheet add_sheet.title
    home_assistant
                notify.message notify.title
    inbox       post.title post.body mail.title mail.body
    jira        find_issue.jql create_issue.type create_issue.summary create_issue.description create_issue.assignee add_comment.issue
                add_comment.text transition_issue.issue transition_issue.status assign_issue.issue assign_issue.assignee
    linear      find_issue.team find_issue.words create_issue.team create_issue.title set_state.team set_state.issue set_state.state comment_on_issue.issue
    mastodon    post_status.warning post_status.reply_to boost.status favourite.status bookmark.status
    microsoft_todo
                find_task.list find_task.words
                create_task.list create_task.title create_task.text complete_task.list complete_task.task create_list.name
    mqtt        publish.content_type
    notion      find_page.database find_page.words create_page.database create_page.title create_page.content append_text.page append_text.text update_property.page
                update_property.name comment.page comment.text
    onedrive    create_text_file.name create_text_file.folder create_text_file.text add_file_from_url.name add_file_from_url.folder
                create_folder.name create_folder.folder share_link.item
    outlook     send_mail.subject create_draft.subject reply_to_mail.mail reply_to_mail.text move_mail.mail move_mail.folder
                mark_mail.mail
    reddit      submit_link.title submit_text.title comment.target save.target
    shopify     create_customer.email create_customer.first_name create_customer.last_name create_product.title
                create_product.vendor set_note.note
    slack       post_message.channel post_message.thread add_reaction.channel add_reaction.ts add_reaction.emoji set_topic.channel
                set_topic.topic
    spotify     find_track.words add_to_playlist.playlist create_playlist.name create_playlist.description queue_track.device start_playback.device
                start_playback.what pause_playback.device
    stripe      find_customer.email create_customer.email create_customer.name create_customer.phone create_customer.description
                create_invoice_item.description create_payment_link.price
    teams       send_channel_message.team send_channel_message.channel reply_to_message.team reply_to_message.channel
                reply_to_message.message send_chat_message.chat create_channel.team create_channel.name create_channel.description
    telegram    send_photo.caption edit_message.text
    todoist     find_task.filter create_task.content create_task.project create_task.description complete_task.task comment_on_task.task
                comment_on_task.text
    trello      find_card.board find_card.words create_card.board create_card.list create_card.name create_card.text comment_on_card.card comment_on_card.text
                move_card.board move_card.list move_card.card archive_card.card
    twitch      send_message.text announce.text update_channel.title update_channel.category
    youtube     add_to_playlist.playlist add_to_playlist.video rate_video.video comment_on_video.video comment_on_video.text
                subscribe.channel
"""
# Markdown of places where a value may be Markdown itself: it formats, and can't do more than format and mention.
FORMATTED = """
    github      open_issue.body write_comment.body open_pull_request.body
    linear      create_issue.text comment_on_issue.text
    reddit      submit_text.text comment.text
"""
# Words that the vendor understands as a person's; what is understood in them is what the reaction is for.
WORDS = """
    google_calendar quick_add.text
    spotify     save_track.track add_to_playlist.track queue_track.track
    todoist     create_task.due quick_add.text
"""


def keys(table: str) -> set[str]:
    results, service = set(), ""
    for word in table.split():
        service = service if "." in word else word
        results |= {f"{service}.{word}"} if "." in word else set()
    return results


def test_it_is_known_of_every_text_how_it_is_read():
    """Of the services in the tables; a new connector needs no line there."""
    known = [keys(WHOLE), keys(FORMATTED), keys(WORDS)]
    services = {key.partition(".")[0] for key in set().union(*known)}
    open_texts = {
        f"{reaction.key}.{field.name}"
        for reaction in REACTIONS.values()
        for field in fields(reaction.params)
        if reaction.key.partition(".")[0] in services
        if field.type == "string" and field.shape is None and not field.choices and not field.validation_regex
    }
    assert open_texts == set().union(*known), (
        "declare how the text is read (`asked(…, shape=…)`, a pattern, or choices), or say in WHOLE that it is one thing"
    )
    assert len(open_texts) == sum(map(len, known))


@pytest.mark.parametrize("reaction", REACTIONS.values(), ids=lambda component: component.key)
def test_a_field_with_several_things_is_a_list(reaction: Reaction):
    for field in fields(reaction.params):
        if re.search(r"(?i)comma|several|one or more|semicolon", field.description):
            assert field.several or field.shape, (
                f"{field.name}: take `Items` or `Addresses` of the SDK for what has several items"
            )


def sent(key: str, event: Any, **provided: str) -> dict[str, Any]:
    """The parameters of a reaction whose texts use `{{body.…}}`, filled."""
    plan = compile_config(registry(), Config("webhook.received", key, {}, NEEDED.get(key, {}) | provided))
    return plan.fill({"body": event}, Budget()).model_dump(mode="json")


NEEDED = {
    "http.get_json": {"url": "https://example.com"},
    "email.send_email": {"to": "ann@example.org", "text": "hi"},
    "gmail.send_mail": {"to": "ann@example.org", "text": "hi"},
    "gmail.create_draft": {"to": "ann@example.org", "text": "hi"},
    "outlook.send_mail": {"to": "ann@example.org", "subject": "hi", "text": "hi"},
    "outlook.create_draft": {"to": "ann@example.org", "subject": "hi", "text": "hi"},
    "google_calendar.create_event": {"title": "x", "start": "2026-11-24T09:00:00Z"},
    "github.open_issue": {"repository": "o/r", "title": "x"},
    "github.add_labels": {"repository": "o/r", "number": "1"},
    "gitlab.open_issue": {"project": "o/r", "title": "x"},
    "gitlab.add_labels": {"project": "o/r", "number": "1"},
    "gitlab.write_comment": {"project": "o/r", "number": "1"},
    "gitlab.open_merge_request": {"project": "o/r", "title": "x", "source": "a", "target": "b"},
    "jira.create_issue": {"site": "https://a.atlassian.net", "project": "A", "type": "Bug", "summary": "x"},
    "todoist.create_task": {"content": "x"},
    "http.request": {"url": "https://example.org"},
    "mqtt.publish": {"topic": "a"},
    "dropbox.write_text": {"text": "x"},
    "dropbox.move": {"path": "/a"},
    "notion.update_property": {"page": "p", "name": "Tags"},
    "notion.create_page": {"database": "d", "title": "x"},
    "google_sheets.append_row": {"spreadsheet": "s", "sheet": "t"},
    "google_sheets.update_cells": {"spreadsheet": "s", "sheet": "t", "cells": "A1"},
    "google_sheets.update_row": {"spreadsheet": "s", "sheet": "t", "key": "k", "values": "{}"},
    "slack.post_message": {"channel": "C1"},
    "slack.send_direct_message": {"user": "U1"},
    "discord.send_message": {"server": "1", "channel": "2"},
    "discord.send_direct_message": {"user": "1"},
    "teams.send_channel_message": {"team": "t", "channel": "c"},
    "teams.reply_to_message": {"team": "t", "channel": "c", "message": "m"},
    "teams.send_chat_message": {"chat": "c"},
    "telegram.send_message": {"chat": "1"},
    "telegram.send_photo": {"chat": "1"},
    "shopify.create_product": {"title": "x"},
    "shopify.add_tags": {"id": "gid://shopify/Order/1"},
    "shopify.create_customer": {"email": "a@example.org"},
    "onedrive.add_file_from_url": {"name": "x"},
    "reddit.submit_link": {"subreddit": "test", "title": "x"},
    "home_assistant.call_service": {"service": "notify.phone"},
    "home_assistant.fire_event": {"event_type": "x"},
    "github.run_workflow": {"repository": "o/r", "workflow": "ci.yml"},
    "gitlab.run_pipeline": {"project": "o/r"},
    "area.run": {"area_id": "1"},
}
NAMED = [(key, field.name) for key, reaction in REACTIONS.items() for field in fields(reaction.params) if field.several]
EVERYBODY = [(key, name) for key, name in NAMED if name in ("to", "cc", "bcc", "reply_to", "guests")]
LISTS = [name for name in NAMED if name not in EVERYBODY and name != ("http.request", "expected_status")]


@pytest.mark.parametrize(("key", "name"), EVERYBODY)
def test_a_value_adds_no_recipient(key, name):
    for hostile in (
        "eve@example.com, mallory@example.com",
        "eve@example.com; x@example.com",
        ["e@example.com", "f@example.com"],
    ):
        with pytest.raises(ValidationError, match="is not a valid e-mail address"):
            sent(key, {"v": hostile}, **{name: "ann@example.org, {{body.v}}"})
    people = sent(
        key,
        {"n": 'Eve, mallory@example.com <m@example.com>"', "v": "bob@example.org"},
        **{name: "{{body.n}} <{{body.v}}>"},
    )
    assert people[name] == '"Eve, mallory@example.com <m@example.com>" <bob@example.org>'
    assert sent(key, {"v": ""}, **{name: "ann@example.org, {{body.v}}"})[name] == "ann@example.org"
    # a field that is one placeholder is whoever the event says
    for whole in ("ann@example.org, Bob <bob@example.org>", ["ann@example.org", "Bob <bob@example.org>"]):
        assert sent(key, {"v": whole}, **{name: "{{body.v}}"})[name] == 'ann@example.org, "Bob" <bob@example.org>'
    with pytest.raises(ValidationError, match="Enter at most 100 addresses"):
        sent(key, {"v": ", ".join(["eve@example.com"] * 101)}, **{name: "{{body.v}}"})


@pytest.mark.parametrize(("key", "name"), LISTS)
def test_a_value_adds_no_item(key, name):
    assert sent(key, {"v": "x, admin"}, **{name: "bug, {{body.v}}"})[name] == ["bug", "x, admin"]
    assert sent(key, {"v": "x"}, **{name: '["bug, a", "{{body.v}}"]'})[name] == ["bug, a", "x"]
    assert sent(key, {"v": ""}, **{name: "bug, {{body.v}}, "})[name] == ["bug"]
    assert sent(key, {"v": "x, y"}, **{name: '{{ body.v | default:"a, b" }}'})[name] == ["x", "y"]
    assert sent(key, {"v": ["x, y", 4]}, **{name: "{{body.v}}"})[name] == ["x, y", "4"]
    with pytest.raises(ValidationError, match="Let its placeholder be all there is"):
        sent(key, {"v": ["x"]}, **{name: "bug, {{body.v}}"})
    with pytest.raises(ValidationError, match="Enter at most 100 items"):
        sent(key, {"v": "x," * 101}, **{name: "{{body.v}}"})


def test_a_value_adds_no_item_to_a_property_of_several():
    text = sent("notion.update_property", {"v": "x, y"}, value="bug, {{body.v}}")
    assert text["value"] == {"text": "bug, x, y", "items": ["bug", "x, y"]}
    text = sent("notion.create_page", {"v": "x, y"}, properties='{"Tags": "bug, {{body.v}}", "All": "{{body.v}}"}')
    assert text["properties"] == {"Tags": {"text": "bug, x, y", "items": ["bug", "x, y"]}, "All": "x, y"}
    with pytest.raises(ValidationError, match="Enter statuses"):
        sent("http.request", {"v": "200,500"}, expected_status="204,{{body.v}}")


BREAKS_JSON = '1, "admin": true, "x": "'
DOCUMENTS = [
    (reaction.key, field.name)
    for reaction in REACTIONS.values()
    for field in fields(reaction.params)
    if (field.type == "json" and field.name not in ("headers", "values", "tags", "variables", "user_properties")) or (reaction.key, field.name) == ("mqtt.publish", "payload")
]  # fmt: skip


@pytest.mark.parametrize(("key", "name"), DOCUMENTS)
def test_a_value_adds_nothing_to_a_json_document(key, name):
    text = '{"a": "{{body.v}}", "b": {{body.v}}, "c": {{body.n}}, "d": {{body.v | json}}, "{{body.k}}": 1}'
    message = sent(key, {"v": BREAKS_JSON, "n": {"o": [1]}, "k": "c"}, **{name: text})[name]
    if key == "notion.create_page":  # each text of it may name several things
        assert (
            message.pop("a")["text"] == BREAKS_JSON
            if isinstance(message["a"], dict)
            else message.pop("a") == BREAKS_JSON
        )
        message["a"] = BREAKS_JSON
    assert message == {"a": BREAKS_JSON, "b": BREAKS_JSON, "c": {"o": [1]}, "d": BREAKS_JSON}


@pytest.mark.parametrize(
    ("key", "given", "event", "filled"),
    [
        ("http.request", {"headers": "X-A: {{body.v}}\nX-B: c"}, "v: w", {"headers": {"X-A": "v: w", "X-B": "c"}}),
        ("http.request", {"headers": "{{body.v}}: c"}, "Authorization: x", "is not a valid header name"),
        ("http.request", {"headers": "X-A: {{body.v}}"}, "v\nAuthorization: x", "contains a line break"),
        ("http.request", {"url": "https://x.org/{{body.v}}"}, "../a?b", {"url": "https://x.org/..%2Fa%3Fb"}),
        ("http.get_json", {"url": "https://x.org/{{body.v}}"}, "../a?b", {"url": "https://x.org/..%2Fa%3Fb"}),
        ("http.get_json", {"headers": "X-A: {{body.v}}"}, "v\nAuthorization: x", "contains a line break"),
        ("rss.newest_item", {"url": "https://x.org/{{body.v}}"}, "../a?b", {"url": "https://x.org/..%2Fa%3Fb"}),
        ("calendar.event_at", {"url": "https://x.org/{{body.v}}"}, "../a?b", {"url": "https://x.org/..%2Fa%3Fb"}),
        ("http.request", {"content_type": "application/x-www-form-urlencoded", "body": "a={{body.v}}&b={{body.v | urlencode}}"}, "1&c=2", {"body": "a=1%26c%3D2&b=1%26c%3D2"}),
        ("http.request", {"headers": '{"content-type": "application/x-www-form-urlencoded"}', "body": "a={{body.v}}"}, "1&c=2", {"body": "a=1%26c%3D2"}),
        ("http.request", {"body": '<a b="{{body.v}}">{{body.v}}</a>'}, '"><c/>', {"body": '<a b="&quot;&gt;&lt;c/&gt;">&quot;&gt;&lt;c/&gt;</a>'}),
        ("http.request", {"content_type": "text/xml", "body": " x<a>{{body.v | escape_html}}{{body.v | raw}}</a>"}, "<c/>", {"body": " x<a>&lt;c/&gt;<c/></a>"}),
        ("http.request", {"body": "<a><![CDATA[{{body.v}}]]></a>"}, "]]>", {"body": "<a><![CDATA[]]]]>&gt;<![CDATA[]]></a>"}),
        ("http.request", {"body": "<!-- {{body.v}} -->"}, "--><c/>", {"body": "<!-- &#45;&#45;&gt;&lt;c/&gt; -->"}),
        ("http.request", {"content_type": "application/yaml", "body": "a: {{body.v}}\nb: 1"}, "x\nb: 2", {"body": {"a": "x\nb: 2", "b": 1}}),
        ("http.request", {"body": "[{{body.v}}] text"}, "x", {"body": "[x] text"}),
        ("webhook.answer", {"headers": "X-A: {{body.v}}\nAge: 1"}, "v: w", {"headers": {"X-A": "v: w", "Age": "1"}}),
        ("webhook.answer", {"headers": "X-A: {{body.v}}"}, "v\nSet-Cookie: x", "may only contain one line"),
        ("webhook.answer", {"body": '{"a": "{{body.v}}"}'}, '", "b": "', {"body": {"a": '", "b": "'}}),
        ("webhook.answer", {"content_type": "text/html", "body": "<p>{{body.v}}"}, "<b>", {"body": "<p>&lt;b&gt;"}),
        ("mqtt.publish", {"topic": "home/{{body.v}}/set"}, "a/b", "can't be a part of a topic"),
        ("mqtt.publish", {"topic": "home/{{body.v}}"}, "#", "when publishing"),
        ("mqtt.publish", {"topic": "{{body.v}}/set"}, "a/b", {"topic": "a/b/set"}),
        ("mqtt.publish", {"response_topic": "home/{{body.v}}/set"}, "a/b", "can't be a part of a topic"),
        ("mqtt.publish", {"user_properties": '{"a": "{{body.v}}"}'}, '", "b": "', {"user_properties": {"a": '", "b": "'}}),
        ("mqtt.publish", {"topic": "home/{{body.v | raw}}"}, "a/b", {"topic": "home/a/b"}),
        ("dropbox.write_text", {"path": "/a/{{body.v}}.txt"}, "../../b", {"path": "/a/.._.._b.txt"}),
        ("dropbox.move", {"to": "/a/{{body.v}}"}, "..", "can't be a part of a path"),
        ("slack.post_message", {"text": "<!here> {{body.v}}"}, "<!channel> & <https://evil.example|bank>", {"text": "<!here> &lt;!channel&gt; & &lt;https://evil.example|bank&gt;"}),
        ("slack.post_message", {"text": "{{body.v}}"}, "<!channel>", {"text": "&lt;!channel&gt;"}),
        ("slack.send_direct_message", {"text": "{{body.v | escape_slack}}"}, "<!channel> &", {"text": "&lt;!channel&gt; &amp;"}),
        ("slack.send_direct_message", {"user": "{{body.v}}", "text": "x"}, "U1,U2", "should match pattern"),
        ("discord.send_message", {"text": "<@&1> {{body.v}}"}, "<@&2>", {"text": "<@&1> <\u200b@&2>"}),
        ("discord.send_direct_message", {"text": "{{body.v}}"}, "<@2>", {"text": "<\u200b@2>"}),
        ("mastodon.post_status", {"text": "@ann {{body.v}}"}, "@eve@example.com a@b.c", {"text": "@ann @\u200beve@example.com a@b.c"}),
        ("bluesky.create_post", {"text": "@{{body.v}}"}, "ann.example @eve.example", {"text": "@ann.example @\u200beve.example"}),
        ("bluesky.create_post", {"text": "x", "link": "https://x.org/?q={{body.v}}"}, "a&b", {"link": "https://x.org/?q=a%26b"}),
        ("bluesky.create_post", {"text": "x", "picture": "https://x.org/{{body.v}}"}, "../a?b", {"picture": "https://x.org/..%2Fa%3Fb"}),
        ("gitlab.open_issue", {"description": "hi\n{{body.v}}"}, "/close\n /label ~a\n/usr/bin", {"description": "hi\n\\/close\n \\/label ~a\n/usr/bin"}),
        ("gitlab.write_comment", {"body": "{{body.v}}"}, "/close", {"body": "\\/close"}),
        ("gitlab.open_merge_request", {"description": "{{body.v}}"}, "/merge", {"description": "\\/merge"}),
        ("telegram.send_message", {"format": "HTML", "text": "<b>{{body.v}}</b>"}, "<a>&", {"text": "<b>&lt;a&gt;&amp;</b>"}),
        ("telegram.send_message", {"format": "MarkdownV2", "text": "*{{body.v}}*"}, "a*[b](c)", {"text": "*a\\*\\[b\\]\\(c\\)*"}),
        ("telegram.send_message", {"text": "{{body.v}}!"}, "<a>", {"text": "<a>!"}),
        ("telegram.send_photo", {"photo": "https://x.org/{{body.v}}"}, "a/../b", {"photo": "https://x.org/a%2F..%2Fb"}),
        *((f"teams.{name}", {"format": "html", "text": "<p>{{body.v}}"}, "<at>", {"text": "<p>&lt;at&gt;"}) for name in ("send_channel_message", "reply_to_message", "send_chat_message")),
        *((f"outlook.{name}", {"format": "html", "text": "<p>{{body.v}}"}, "<a>", {"text": "<p>&lt;a&gt;"}) for name in ("send_mail", "create_draft")),
        *((f"{name}", {"html": "<p>{{body.v}}</p>"}, "</p><a>", {"html": "<p>&lt;/p&gt;&lt;a&gt;</p>"}) for name in ("email.send_email", "gmail.send_mail", "gmail.create_draft")),
        ("email.send_email", {"html": "{{body.v}}"}, "<p>a</p>", {"html": "<p>a</p>"}),
        ("shopify.create_product", {"description": "<p>{{body.v}}"}, "<a>", {"description": "<p>&lt;a&gt;"}),
        ("onedrive.add_file_from_url", {"url": "https://x.org/{{body.v}}"}, "a?b", {"url": "https://x.org/a%3Fb"}),
        ("reddit.submit_link", {"url": "https://x.org/?q={{body.v}}"}, "a&b", {"url": "https://x.org/?q=a%26b"}),
        ("google_drive.upload_file", {"url": "https://x.org/{{body.v}}"}, "a?b", {"url": "https://x.org/a%3Fb"}),
        ("google_drive.create_folder", {"name": "x", "folder": "{{body.v}}"}, "a,b", "should match pattern"),
        ("area.pass_on", {"values": '{"a": "{{body.v}}", "b": {{body.v}}}'}, '", "c": "', {"values": {"a": '", "c": "', "b": '", "c": "'}}),
        ("home_assistant.call_service", {"data": '{"message": "hi {{body.v}}"}'}, "{{ states() }}", {"data": {"message": 'hi {{ "{{ states() }}" }}'}}),
        *(
            ("home_assistant.call_service", {"data": data, "service": service}, provided, {"data": {"message": text}})
            for service, data, provided, text in (
                ("notify.phone", '{"message": {{body.v}}}', "{{ states() }}", '{{ "{{ states() }}" }}'),
                ("notify.phone", "{{body.v}}", {"message": "50 {% off"}, '{{ "50 {% off" }}'),
                ("notify.phone", "{{body.v}}", '{"message": "{{ 1 }}"}', '{{ "{{ 1 }}" }}'),
                ("notify.phone", '{"message": "{{body.v | raw}}"}', "{{ 1 }}", "{{ 1 }}"),
                ("notify.phone", '{"message": {{body.v}}}', ["{{ 1 }}", 2], ['{{ "{{ 1 }}" }}', 2]),
                ("notify.send_message", '{"message": "{{body.v}}"}', "{{ 1 }}", "{{ 1 }}"),
            )
        ),
        ("home_assistant.call_service", {"data": "{{body.v}}", "service": "light.turn_on"}, {"a": "{"}, {"data": {"a": "{"}}),
        ("google_sheets.append_row", {"as_typed": "true", "values": '["{{body.v}}", "=A({{body.v}})", "=A(\\"{{body.v}}\\")", "n {{body.v}}"]'}, '=B("c")', {"values": ["'=B(\"c\")", '=A("=B(""c"")")', '=A("=B(""c"")")', 'n =B("c")']}),
        ("google_sheets.append_row", {"as_typed": "true", "values": '{"a": "{{body.v}}", "b": "=A{{body.v}}"}'}, "-5", {"values": {"a": "-5", "b": "=A-5"}}),
        ("google_sheets.append_row", {"values": '["{{body.v}}"]'}, "=B()", {"values": ["=B()"]}),
        ("google_sheets.append_row", {"as_typed": "true", "values": "{{body.v}}"}, ["=B()", 2], {"values": ["'=B()", 2]}),
        ("google_sheets.append_row", {"as_typed": "true", "values": "{{body.v}}"}, {"a": "=B()"}, {"values": {"a": "'=B()"}}),
        ("google_sheets.append_row", {"as_typed": "true", "values": "[{{body.v}}]"}, "=B()", {"values": ["'=B()"]}),
        ("google_sheets.update_cells", {"as_typed": "{{body.v}}", "values": '["+{{body.v}}"]'}, "true", {"values": ['+"true"']}),
        ("google_sheets.update_row", {"as_typed": "yes", "value": "{{body.v}}"}, "@B", {"value": "'@B"}),
        ("google_sheets.update_row", {"as_typed": "on", "value": "1", "values": '{"a": "{{body.v}}"}'}, "=B()", {"values": {"a": "'=B()"}}),
        ("shopify.add_tags", {"tags": '["vip", "{{body.v}}"]'}, 'a", "b', {"tags": ["vip", 'a", "b']}),
        ("shopify.create_customer", {"tags": '["vip", {{body.v}}]'}, "a, b", {"tags": ["vip", "a, b"]}),
        ("gitlab.run_pipeline", {"variables": '{"A": "{{body.v}}"}'}, '", "B": "', {"variables": {"A": '", "B": "'}}),
        ("http.get_json", {"url": "https://x.org", "headers": "X-A: {{body.v}}"}, "v\nB: c", "contains a line break"),
        ("http.request", {"content_type": "{{body.v}}", "body": "x"}, "a/b\r\nX-A: b", "should match pattern"),
    ],
)  # fmt: skip
def test_a_value_keeps_to_its_place(key, given, event, filled):
    if isinstance(filled, str):
        with pytest.raises((ValidationError, RenderError), match=filled):
            sent(key, {"v": event}, **given)
    else:
        text = sent(key, {"v": event}, **given)
        assert {name: text[name] for name in filled} == filled


def test_two_values_together_are_no_more_than_one():
    for key, name, values, harmful in (
        ("slack.post_message", "text", ("<", "!channel>"), "<!channel>"),
        ("discord.send_message", "text", ("<", "@&1>"), "<@&1>"),
        ("mastodon.post_status", "text", ("@", "eve@example.com"), "@eve"),
        ("gitlab.open_issue", "description", ("/cl", "ose"), "\n/close"),
        ("http.request", "body", ("]]", ">"), None),
    ):
        text = "\n{{body.a}}{{body.b}}" if harmful else "<a><![CDATA[{{body.a}}{{body.b}}]]></a>"
        message = sent(key, dict(zip("ab", values, strict=True)), **{name: text})[name]
        assert harmful not in message if harmful else message.count("]]>") == 2, message


def test_every_shape_is_tried_here():
    parametrised = test_a_value_keeps_to_its_place.pytestmark[0].args[1]
    tried = {(key, name) for key, provided, *_ in parametrised for name in provided}
    tried |= {*EVERYBODY, *LISTS, *DOCUMENTS, ("notion.update_property", "value"), ("http.request", "expected_status")}
    same = {("dropbox.create_folder", "path"), ("dropbox.share_link", "path"), ("dropbox.move", "path")}  # one alias
    shaped = {(key, field.name) for key, r in REACTIONS.items() for field in fields(r.params) if field.shape_in({})}
    shaped |= {(key, field.name) for key, r in REACTIONS.items() for field in fields(r.params) if field.shape}
    assert shaped - same <= tried, "try the new field with what would break out of it"


def test_no_text_is_pasted_into_a_path():
    """Where a path is an f-string, what fills its braces is a number, has a pattern or choices, or is not the user's."""
    texts = {key.rpartition(".")[2] for table in (WHOLE, FORMATTED, WORDS) for key in keys(table)} - {
        "path",
        "name",
        "type",
    }
    for slug, service_folder in registry().folders.items():
        own = {key.rpartition(".")[2] for key in keys(WHOLE) if key.startswith(f"{slug}.")} & texts
        for path in Path(service_folder).glob("*.py"):
            if path.name.startswith("test_"):
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else None
                if isinstance(first, ast.Constant) and str(first.value).startswith("/"):
                    pasted = {
                        value.value.id
                        for value in node.values
                        if isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name)
                    }
                    assert not pasted & own, f"{path}:{node.lineno}: write quoted(…, {', '.join(pasted & own)})"
