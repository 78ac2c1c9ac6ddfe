"""YouTube: videos that are published, liked, listed or found, subscribers and comments; and to list, rate, comment, subscribe."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from area.connectors.youtube import hints
from area.sdk import Context, Event, Option, Permanent, Pick, Service, parse
from area.sdk.google import HOSTS, PAGES, call, google, pages, refusal, scope

# each look costs a unit of the 10,000 that an installation has a day, and a search one of its 100
# https://developers.google.com/youtube/v3/determine_quota_cost
SOON, SELDOM = timedelta(minutes=15), timedelta(hours=6)
LATE = timedelta(days=1)  # a search finds a video some hours later
READ, WRITE, TALK = (scope("youtube.readonly"),), (scope("youtube"),), (scope("youtube.force-ssl"),)
V3 = "/youtube/v3"
FIFTY = {"maxResults": "50"}

service = Service(
    "youtube",
    "YouTube",
    "Videos that are published, liked, put on a playlist or found, new subscribers and comments; and what you do there.",
    docs="https://developers.google.com/youtube/v3/docs",
    base_url="https://youtube.googleapis.com",
    auth=google(),
    hosts=HOSTS,
    pages=PAGES,
    refusal=refusal,
    quality="verified",
)


def _video_id(given: str) -> str:
    """The ID, also out of an address."""
    found = re.search(r"(?:[?&]v=|youtu\.be/|/shorts/|/live/|/embed/|^)([\w-]{11})(?:[?&#/]|$)", given.strip())
    if not found:
        raise ValueError(f"{given!r} is no video; take its address, or the 11 characters of its ID.")
    return found[1]


def _channel(given: str) -> str:
    """The ID, or the handle, also out of an address."""
    found = re.search(r"(?:/channel/|^)(UC[\w-]{22})(?:[?/]|$)|(?:youtube\.com/|^)(@[^/?\s]+)", given.strip())
    if not found:
        raise ValueError(f"{given!r} is no channel; take its address, its handle such as @youtube, or its ID.")
    return found[1] or found[2]


Video = Annotated[str, AfterValidator(_video_id)]
ChannelId = Annotated[str, AfterValidator(_channel), Pick("channels")]


class Nothing(BaseModel):
    """No parameters."""


class Channel(BaseModel):
    """Which channel."""

    channel: ChannelId = Field(description="Channel: its ID, handle or address", examples=["@youtube"])


class Playlist(BaseModel):
    """Which playlist."""

    playlist: Annotated[str, Pick("playlists")] = Field(
        min_length=1, description="Playlist, by its ID", examples=["PLBCF2DAC6FFB574DE"]
    )


class Search(BaseModel):
    """What to look for."""

    query: str = Field(min_length=1, description="Words to search for", examples=["selfhosting -shorts"])


class Listed(Playlist):
    """Which video, on which playlist."""

    video: Video = Field(description="Video: its ID or address", examples=["{{id}}"])


class Rating(BaseModel):
    """A video and what you think of it."""

    video: Video = Field(description="Video: its ID or address", examples=["{{id}}"])
    rating: Literal["like", "dislike", "none"] = Field(
        "like", description="Rating; none takes it back", examples=["like"]
    )


class Comment(BaseModel):
    """What to say below a video."""

    video: Video = Field(description="Video: its ID or address", examples=["{{id}}"])
    text: str = Field(min_length=1, max_length=10_000, description="What to say", examples=["Thank you!"])


class Seen(BaseModel):
    """A video."""

    id: str = Field(description="ID of the video", examples=["dQw4w9WgXcQ"])
    title: str = Field(description="Title", examples=["How it works"])
    description: str = Field(description="What is said of it", examples=["In this video …"])
    channel_id: str = Field(description="ID of its channel", examples=["UCBR8-60-B28hp2BmDPdntcQ"])
    channel_title: str = Field(description="Name of its channel", examples=["YouTube"])
    published_at: datetime = Field(description="When it was published", examples=["2026-11-23T09:00:00Z"])
    thumbnail_url: str = Field(
        description="Address of a picture", examples=["https://i.ytimg.com/vi/dQw4w9WgXcQ/hq.jpg"]
    )
    url: str = Field(description="Address of the video", examples=["https://www.youtube.com/watch?v=dQw4w9WgXcQ"])


class Subscriber(BaseModel):
    """A channel that subscribed."""

    channel_id: str = Field(description="ID of the channel", examples=["UCBR8-60-B28hp2BmDPdntcQ"])
    title: str = Field(description="Its name", examples=["Ann"])
    description: str = Field(description="What it says of itself", examples=["Videos about bees"])
    url: str = Field(description="Its address", examples=["https://www.youtube.com/channel/UCBR8-60-B28hp2BmDPdntcQ"])


class Said(BaseModel):
    """A comment."""

    id: str = Field(description="ID of the comment", examples=["UgxKREWxIgDrw8w2e_Z4AaABAg"])
    text: str = Field(description="What it says", examples=["Great!"])
    author: str = Field(description="Who wrote it", examples=["@ann"])
    video_id: str = Field(description="ID of the video; empty below a channel", examples=["dQw4w9WgXcQ"])
    written_at: datetime = Field(description="When it was written", examples=["2026-11-23T09:00:00Z"])


class Done(BaseModel):
    """What was done."""

    id: str = Field(description="ID of what was made, or of the video", examples=["UExCQ0YyREFDNkZGQjU3NERF"])


@service.poll("A video is published", every=SOON, scopes=READ, hint=hints.published)
async def video_published(ctx: Context, params: Channel, since: datetime) -> AsyncIterator[Event[Seen]]:  # noqa: ARG001
    """A channel publishes a video."""
    async for item in _items(ctx, await _related(ctx, "uploads", params.channel), most=50):
        video = _listed(item)
        yield Event(video.id, video, video.published_at)


@service.poll("I like a video", every=SOON, scopes=READ)
async def video_liked(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Seen]]:  # noqa: ARG001
    """You like a video."""
    async for item in _items(ctx, await _related(ctx, "likes"), most=50):
        yield _added(item)


@service.poll("A video is put on a playlist", every=SOON, scopes=READ)
async def playlist_item_added(ctx: Context, params: Playlist, since: datetime) -> AsyncIterator[Event[Seen]]:  # noqa: ARG001
    """A video is put on a playlist, at any place of it."""
    async for item in _items(ctx, params.playlist, most=1000):
        yield _added(item)


@service.poll("A search finds a video", every=SELDOM, overlap=LATE, scopes=READ)
async def video_found(ctx: Context, params: Search, since: datetime) -> AsyncIterator[Event[Seen]]:
    """A new video fits a search."""
    after = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = {"part": "snippet", "type": "video", "order": "date", "q": params.query, "publishedAfter": after}
    # https://developers.google.com/youtube/v3/docs/search/list
    async for item in pages(ctx, f"{V3}/search", "items", params=query | FIFTY, most=50):
        told = item.get("snippet", {})
        video = _video(item.get("id", {}).get("videoId"), told, told.get("publishedAt"))
        yield Event(video.id, video, video.published_at)


@service.poll("Somebody subscribes", every=SOON, scopes=READ)
async def subscriber_gained(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Subscriber]]:  # noqa: ARG001
    """Somebody subscribes to your channel, whose subscriptions are public."""
    query = {"part": "snippet,subscriberSnippet", "myRecentSubscribers": "true"}
    # https://developers.google.com/youtube/v3/docs/subscriptions/list
    async for item in pages(ctx, f"{V3}/subscriptions", "items", params=query | FIFTY, most=50):
        told = item.get("subscriberSnippet", {})
        channel = told.get("channelId")
        values = {"channel_id": channel, "title": told.get("title", ""), "description": told.get("description", "")}
        values["url"] = f"https://www.youtube.com/channel/{channel}"
        at = parse(datetime, item.get("snippet", {}).get("publishedAt"), "YouTube")
        yield Event(str(item.get("id")), parse(Subscriber, values, "YouTube"), at)


@service.poll("A comment is written", every=SOON, scopes=TALK)
async def comment_written(ctx: Context, params: Channel, since: datetime) -> AsyncIterator[Event[Said]]:  # noqa: ARG001
    """Somebody comments on a channel or one of its videos. Answers to comments do not count."""
    channel = ctx.state.get("channel") or (await _found(ctx, params.channel, "id")).get("id")
    ctx.state["channel"] = channel
    query = {"part": "snippet", "allThreadsRelatedToChannelId": channel, "textFormat": "plainText", "maxResults": "100"}
    # https://developers.google.com/youtube/v3/docs/commentThreads/list
    async for item in pages(ctx, f"{V3}/commentThreads", "items", params=query, most=100):
        comment = _said(item)
        yield Event(comment.id, comment, comment.written_at)


@service.reaction("Put a video on a playlist", scopes=WRITE)
async def add_to_playlist(ctx: Context, params: Listed) -> Done:
    """Put a video on a playlist, unless it is on it already."""
    # https://developers.google.com/youtube/v3/docs/playlistItems/list
    query = {"part": "id", "playlistId": params.playlist, "videoId": params.video}
    async for item in pages(ctx, f"{V3}/playlistItems", "items", params=query, most=1):
        return parse(Done, item, "YouTube")
    video = {"kind": "youtube#video", "videoId": params.video}
    # https://developers.google.com/youtube/v3/docs/playlistItems/insert
    body = {"snippet": {"playlistId": params.playlist, "resourceId": video}}
    made = await call(ctx, "POST", f"{V3}/playlistItems", params={"part": "snippet"}, json=body)
    return parse(Done, made, "YouTube")


@service.reaction("Rate a video", scopes=WRITE)
async def rate_video(ctx: Context, params: Rating) -> Done:
    """Like a video, dislike it, or take that back."""
    # https://developers.google.com/youtube/v3/docs/videos/rate
    await call(ctx, "POST", f"{V3}/videos/rate", params={"id": params.video, "rating": params.rating})
    return Done(id=params.video)


@service.reaction("Comment on a video", on_crash="fail", scopes=TALK)
async def comment_on_video(ctx: Context, params: Comment) -> Said:
    """Write a comment below a video."""
    snippet = {"videoId": params.video, "topLevelComment": {"snippet": {"textOriginal": params.text}}}
    # https://developers.google.com/youtube/v3/docs/commentThreads/insert
    made = await call(ctx, "POST", f"{V3}/commentThreads", params={"part": "snippet"}, json={"snippet": snippet})
    return _said(made)


@service.reaction("Subscribe to a channel", scopes=WRITE)
async def subscribe(ctx: Context, params: Channel) -> Done:
    """Subscribe to a channel, unless you do already."""
    channel = str((await _found(ctx, params.channel, "id")).get("id"))
    query = {"part": "id", "mine": "true", "forChannelId": channel}
    async for item in pages(ctx, f"{V3}/subscriptions", "items", params=query, most=1):
        return parse(Done, item, "YouTube")
    body = {"snippet": {"resourceId": {"kind": "youtube#channel", "channelId": channel}}}
    # https://developers.google.com/youtube/v3/docs/subscriptions/insert
    return parse(Done, await call(ctx, "POST", f"{V3}/subscriptions", params={"part": "snippet"}, json=body), "YouTube")


@service.picker
async def playlists(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Your playlists."""
    # https://developers.google.com/youtube/v3/docs/playlists/list
    found = pages(ctx, f"{V3}/playlists", "items", params={"part": "snippet", "mine": "true"} | FIFTY, most=300)
    return [Option(one["id"], one["snippet"]["title"]) async for one in found]


@service.picker
async def channels(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Your own channel, and those that you subscribe to."""
    own = pages(ctx, f"{V3}/channels", "items", params={"part": "snippet", "mine": "true"})
    query = {"part": "snippet", "mine": "true", "order": "alphabetical"}
    others = pages(ctx, f"{V3}/subscriptions", "items", params=query | FIFTY, most=500)
    mine = [Option(one["id"], one["snippet"]["title"]) async for one in own]
    return mine + [Option(one["snippet"]["resourceId"]["channelId"], one["snippet"]["title"]) async for one in others]


async def _found(ctx: Context, channel: str, part: str) -> dict[str, Any]:
    """A channel by its ID or handle, or the user's own one. Raises `Permanent` when there is none."""
    which = {"mine": "true"} if not channel else {"forHandle" if channel.startswith("@") else "id": channel}
    # https://developers.google.com/youtube/v3/docs/channels/list
    async for one in pages(ctx, f"{V3}/channels", "items", params={"part": part, **which}, most=1):
        return one
    raise Permanent(f"YouTube knows no channel {channel}." if channel else "This account has no channel at YouTube.")


async def _related(ctx: Context, which: str, channel: str = "") -> str:
    """The playlist that YouTube keeps of a channel's uploads or of what is liked."""
    if "playlist" not in ctx.state:
        details = (await _found(ctx, channel, "contentDetails")).get("contentDetails", {})
        ctx.state["playlist"] = parse(str, details.get("relatedPlaylists", {}).get(which), "YouTube")
    playlist: str = ctx.state["playlist"]
    return playlist


async def _items(ctx: Context, playlist: str, most: int) -> AsyncIterator[dict[str, Any]]:
    """The videos on a playlist that may be seen."""
    query = {"part": "snippet,contentDetails", "playlistId": playlist}
    # https://developers.google.com/youtube/v3/docs/playlistItems/list
    async for item in pages(ctx, f"{V3}/playlistItems", "items", params=query | FIFTY, most=most):
        if item.get("contentDetails", {}).get("videoPublishedAt"):
            yield item


def _listed(item: Mapping[str, Any]) -> Seen:
    told, details = dict(item.get("snippet", {})), item["contentDetails"]
    told["channelTitle"] = told.get("videoOwnerChannelTitle", told.get("channelTitle", ""))
    told["channelId"] = told.get("videoOwnerChannelId", told.get("channelId", ""))
    return _video(details.get("videoId"), told, details["videoPublishedAt"])


def _added(item: Mapping[str, Any]) -> Event[Seen]:
    at = parse(datetime, item.get("snippet", {}).get("publishedAt"), "YouTube")
    return Event(str(item.get("id")), _listed(item), at)


def _video(video_id: Any, told: Mapping[str, Any], published: Any) -> Seen:
    pictures = told.get("thumbnails", {})
    values = {
        "id": video_id,
        "title": told.get("title", ""),
        "description": told.get("description", ""),
        "channel_id": told.get("channelId", ""),
        "channel_title": told.get("channelTitle", ""),
        "published_at": published,
        "thumbnail_url": (pictures.get("high") or pictures.get("default") or {}).get("url", ""),
        "url": f"https://www.youtube.com/watch?v={video_id}",
    }
    return parse(Seen, values, "YouTube")


def _said(thread: Mapping[str, Any]) -> Said:
    comment = thread.get("snippet", {}).get("topLevelComment", {})
    told = comment.get("snippet", {})
    values = {
        "id": comment.get("id"),
        "text": told.get("textOriginal") or told.get("textDisplay", ""),
        "author": told.get("authorDisplayName", ""),
        "video_id": told.get("videoId", ""),
        "written_at": told.get("publishedAt"),
    }
    return parse(Said, values, "YouTube")
