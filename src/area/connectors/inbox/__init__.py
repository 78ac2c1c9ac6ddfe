"""Inbox: a notice to yourself, inside AREA."""

from typing import Annotated, Literal

from area.sdk import Context, Output, Service, output, param

service = Service(
    "inbox",
    "Inbox",
    "Post notices to your AREA inbox.",
    quality="verified",
)

LEVEL = "Level: info, success, warning or error"


class Posted(Output):
    notice_id: int = output("notice_id", "Notice ID", 42)


@service.reaction("Post a notice to your inbox")
async def post(
    ctx: Context,
    title: Annotated[str, param("Title", "{{title}}", min_length=1, max_length=255)],
    body: Annotated[str, param("Text", "{{link}}", max_length=20_000)] = "",
    level: Annotated[Literal["info", "success", "warning", "error"], param(LEVEL, "info")] = "info",
) -> Posted:
    """Post a notice to your inbox. Retries never post it twice."""
    return Posted(notice_id=await ctx.platform.post_notice(title, body, level))
