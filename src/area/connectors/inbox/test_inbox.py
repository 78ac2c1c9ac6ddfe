"""Posting a notice; tests/web checks that it reaches the page."""

from typing import Any, cast

import pytest
from pydantic import ValidationError

from area.connectors import inbox
from area.sdk import Context


class Posts:
    def __init__(self):
        self.posted = []

    async def post_notice(self, title, body, level):
        self.posted.append((title, body, level))
        return len(self.posted)

    async def mail_notice(self, title, body):
        self.posted.append((title, body, "mail"))
        return len(self.posted)


async def test_a_notice_is_posted_with_its_number_as_the_result():
    platform = Posts()
    context = Context(http=cast(Any, None), guard=cast(Any, None), platform=cast(Any, platform))
    result = await inbox.post.function(context, inbox.post.params(title="Hello", body="There", level="warning"))
    assert result == inbox.Posted(notice_id=1)
    assert platform.posted == [("Hello", "There", "warning")]


@pytest.mark.parametrize(
    ("title", "body", "posted", "text"),
    [
        ("", "b", "(no title)", "b"),
        (None, None, "(no title)", ""),
        (" \n ", "", "(no title)", ""),
        ("two\nlines", "", "two lines", ""),
        ("x" * 255, "y" * 20_000, "x" * 255, "y" * 20_000),
        ("x" * 256, "y" * 20_001, "x" * 254 + "…", "y" * 19_999 + "…"),
    ],
)
async def test_no_title_is_too_short_or_too_long(title, body, posted, text):
    platform = Posts()
    context = Context(http=cast(Any, None), guard=cast(Any, None), platform=cast(Any, platform))
    await inbox.post.function(context, inbox.post.params(title=title, body=body))
    assert platform.posted == [(posted, text, "info")]


async def test_a_mail_to_oneself_is_a_notice():
    platform = Posts()
    context = Context(http=cast(Any, None), guard=cast(Any, None), platform=cast(Any, platform))
    result = await inbox.mail.function(context, inbox.mail.params(title="Hello\nBcc: x", body="y" * 20_001))
    assert result == inbox.Posted(notice_id=1)
    assert platform.posted == [("Hello Bcc: x", "y" * 19_999 + "…", "mail")]


@pytest.mark.parametrize("wrong", [{"title": "x", "level": "loud"}, {}])
def test_what_can_not_be_posted_is_refused(wrong):
    with pytest.raises(ValidationError):
        inbox.post.params.model_validate(wrong)
