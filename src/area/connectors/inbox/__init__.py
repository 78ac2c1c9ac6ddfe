"""Inbox: a notice to yourself, inside AREA."""

from typing import Annotated, Literal

from area.sdk import Context, Output, Service, output, param

service = Service(
    "inbox",
    "Inbox",
    "A notice in your AREA inbox: the simplest thing to do when something happens.",
    quality="verified",
)

LEVEL = "How it is shown: info, success, warning or error"


class Posted(Output):
    notice_id: int = output("notice_id", "Number of the notice", 42)


@service.reaction("Post a notice to your inbox")
async def post(
    ctx: Context,
    title: Annotated[str, param("What it says at a glance", "{{title}}", min_length=1, max_length=255)],
    body: Annotated[str, param("The rest of it, as plain text", "{{link}}", max_length=20_000)] = "",
    level: Annotated[Literal["info", "success", "warning", "error"], param(LEVEL, "info")] = "info",
) -> Posted:
    """Put a notice in your inbox. However often an execution is attempted, it is one notice."""
    return Posted(notice_id=await ctx.platform.post_notice(title, body, level))
