"""Inbox: a notice to yourself, inside AREA."""

from typing import Annotated, Literal

from area.sdk import Context, Output, Service, output, param

service = Service(
    "inbox",
    "Inbox",
    "Post notices to your AREA inbox, and e-mail yourself.",
    quality="verified",
    synonyms={
        "": "notification, notify, alert",
        "post": (
            "notify me, notification, alert, remind me, tell me, push notification, warn me, ping me, let me know,"
            " reminder, log, note to self"
        ),
        "mail": "email me, mail me, send myself an email, notify me, alert by mail, warn me by mail, remind me by mail",
    },
)

LONGEST_TITLE, LONGEST_BODY = 255, 20_000  # characters
LEVEL = "Level: info, success, warning or error"


class Posted(Output):
    notice_id: int = output("notice_id", "Notice ID", 42)


@service.reaction("Post a notice to your inbox", idempotent="key")
async def post(
    ctx: Context,
    title: Annotated[str | None, param("Title", "{{title}}")],
    body: Annotated[str | None, param("Text", "{{link}}")] = "",
    level: Annotated[Literal["info", "success", "warning", "error"], param(LEVEL, "info")] = "info",
) -> Posted:
    """Post a notice to your inbox. Retries never post it twice."""
    title = _cut(" ".join((title or "").split()), LONGEST_TITLE) or "(no title)"
    return Posted(notice_id=await ctx.platform.post_notice(title, _cut(body or "", LONGEST_BODY), level))


@service.reaction("E-mail yourself", idempotent="key")
async def mail(
    ctx: Context,
    title: Annotated[str | None, param("Subject", "{{title}}")],
    body: Annotated[str | None, param("Text", "{{link}}")] = "",
) -> Posted:
    """Send an e-mail to the confirmed address of your AREA account, through this server.

    It also appears in your inbox.
    """
    title = _cut(" ".join((title or "").split()), LONGEST_TITLE) or "(no title)"
    return Posted(notice_id=await ctx.platform.mail_notice(title, _cut(body or "", LONGEST_BODY)))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
