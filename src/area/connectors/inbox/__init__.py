"""Inbox: a notice to yourself, inside AREA."""

from typing import Literal

from pydantic import BaseModel, Field

from area.sdk import Context, Service

service = Service(
    "inbox",
    "Inbox",
    "A notice in your AREA inbox: the simplest thing to do when something happens.",
    quality="verified",
)


class Post(BaseModel):
    """A notice to post."""

    title: str = Field(min_length=1, max_length=255, description="What it says at a glance", examples=["{{title}}"])
    body: str = Field("", max_length=20_000, description="The rest of it, as plain text", examples=["{{link}}"])
    level: Literal["info", "success", "warning", "error"] = Field(
        "info", description="How it is shown: info, success, warning or error", examples=["info"]
    )


class Posted(BaseModel):
    """The notice that was posted."""

    notice_id: int = Field(description="Number of the notice", examples=[42])


@service.reaction("Post a notice to your inbox")
async def post(ctx: Context, params: Post) -> Posted:
    """Put a notice in your inbox. However often an execution is attempted, it is one notice."""
    return Posted(notice_id=await ctx.platform.post_notice(params.title, params.body, params.level))
