"""A third-party connector with OAuth2, as it was written for AREA's SDK at commit 4abbf44. It stays as it is."""

from datetime import timedelta
from typing import Annotated

from area.sdk import Context, Event, Events, Made, OAuth2, Pages, Row, Service, asked, found, given, news, profile

SENT: list[str] = []

service = Service(
    "old_notes",
    "Old Notes",
    "Notes of somebody else's making.",
    base_url="https://api.notes.example",
    auth=OAuth2(
        "https://notes.example/authorize",
        "https://notes.example/token",
        profile("/me", id="id", name="name"),
        scopes=("read",),
        revoke_url="https://notes.example/revoke",
    ),
    pages=Pages("notes", next="next_cursor", cursor="cursor", query={"limit": "100"}),
)
service.options("folders", "/folders", value="id", label="name")

Folder = Annotated[str, asked("Folder of the notes", "ideas", pick="folders")]


class Note(Row):
    id: str = found("id", "What names the note", "42")
    text: str = found("content.plain", "What it says", "Hello")


@service.poll("A note is written", every=timedelta(minutes=5))
async def note_written(ctx: Context, folder: Folder) -> Events[Note]:
    """A note is written in a folder."""
    return news(ctx.http.rows("/notes", Note, params={"folder": folder}))


@service.reaction("Write a note", scopes=("write",))
async def write_note(ctx: Context, folder: Folder, text: Annotated[str, asked("What it says", "Hello")] = "-") -> Made:
    """Write a note at the end of a folder."""
    return await ctx.http.post("/notes", Made, json={"folder": folder, "text": text} | given(key=ctx.uuid()))


__all__ = ["Event", "service"]
