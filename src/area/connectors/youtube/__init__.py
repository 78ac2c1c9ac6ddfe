"""YouTube: triggers on published, liked, listed and found videos, subscribers and comments; lists, rates, comments,
subscribes.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from area.connectors.youtube import hints
from area.sdk import (
    Context,
    Event,
    Events,
    Option,
    Output,
    Permanent,
    Sentence,
    composed,
    lookup,
    output,
    param,
    parse,
    timestamp,
)
from area.vendors import google
from area.vendors.google import scope

# each look costs a unit of the 10,000 that an installation has a day, and a search one of its 100
# https://developers.google.com/youtube/v3/determine_quota_cost
SOON, SELDOM = timedelta(minutes=15), timedelta(hours=6)
LATE = timedelta(days=1)  # a search finds a video some hours later
READ, WRITE, TALK = (scope("youtube.readonly"),), (scope("youtube"),), (scope("youtube.force-ssl"),)
SNIPPET = {"part": "snippet"}

service = google.service(
    "youtube",
    "YouTube",
    "React to new and liked videos, searches, playlists, subscribers and comments; rate, comment and subscribe.",
    docs="https://developers.google.com/youtube/v3/docs",
    base_url="https://youtube.googleapis.com/youtube/v3",
    pages=replace(google.PAGES, query={"maxResults": "50"}, most=20),
    synonyms={
        "": "video, channel, Google",
        "video_published": "channel uploads a video, upload, new vlog",
        "video_liked": "I like a video, favourite",
        "playlist_item_added": "watch later",
        "video_found": "keyword, topic",
        "subscriber_gained": "new follower, someone subscribes",
        "comment_written": "new comment on my video, reply",
        "add_to_playlist": "watch later, save video",
        "rate_video": "like, thumbs up",
        "subscribe": "follow",
    },
)
# https://developers.google.com/youtube/v3/docs/playlists/list
service.options("playlists", "/playlists", label="snippet.title", params=SNIPPET | {"mine": "true"})


def _video_id(given: str) -> str:
    """A video's ID, also from its URL."""
    output = re.search(r"(?:[?&]v=|youtu\.be/|/shorts/|/live/|/embed/|^)([\w-]{11})(?:[?&#/]|$)", given.strip())
    if not output:
        raise ValueError(Sentence('"%(text)s" is not a video. Enter its URL or its 11-character ID.', text=given[:100]))
    return output[1]


def _channel(given: str) -> str:
    """A channel's ID or handle, also from its URL."""
    output = re.search(r"(?:/channel/|^)(UC[\w-]{22})(?:[?/]|$)|(?:youtube\.com/|^)(@[^/?\s]+)", given.strip())
    if not output:
        raise ValueError(
            Sentence(
                '"%(text)s" is not a channel. Enter its URL, its handle such as @youtube, or its ID.', text=given[:100]
            )
        )
    return output[1] or output[2]


VideoId = Annotated[str, AfterValidator(_video_id), param("Video ID or URL", "{{id}}")]
Channel = Annotated[str, AfterValidator(_channel), param("Channel ID, handle or URL", "@youtube", pick="channels")]
Playlist = Annotated[str, param("Playlist ID", "PLBCF2DAC6FFB574DE", pick="playlists", min_length=1)]


class Video(Output):
    id: str = output("contentDetails.videoId id.videoId", "Video ID", "dQw4w9WgXcQ")
    title: str = output("snippet.title", "Title", "How it works", "")
    description: str = output("snippet.description", "Description", "In this video …", "")
    channel_id: str = output(
        "snippet.videoOwnerChannelId snippet.channelId", "Channel ID", "UCBR8-60-B28hp2BmDPdntcQ", ""
    )
    channel_title: str = output("snippet.videoOwnerChannelTitle snippet.channelTitle", "Channel name", "YouTube", "")
    published_at: datetime = output(
        "contentDetails.videoPublishedAt snippet.publishedAt", "Date published", "2026-11-23T09:00:00Z"
    )
    thumbnail_url: str = output(
        "snippet.thumbnails.high.url snippet.thumbnails.default.url",
        "URL of a picture",
        "https://i.ytimg.com/vi/dQw4w9WgXcQ/hq.jpg",
        "",
    )
    url: str = composed(
        "https://www.youtube.com/watch?v={contentDetails.videoId id.videoId}",
        "URL of the video",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    )


class Subscriber(Output):
    channel_id: str = output("subscriberSnippet.channelId", "Channel ID", "UCBR8-60-B28hp2BmDPdntcQ")
    title: str = output("subscriberSnippet.title", "Name", "Ann", "")
    description: str = output("subscriberSnippet.description", "Channel description", "Videos about bees", "")
    url: str = composed(
        "https://www.youtube.com/channel/{subscriberSnippet.channelId}",
        "URL",
        "https://www.youtube.com/channel/UCBR8-60-B28hp2BmDPdntcQ",
    )


class Comment(Output):
    id: str = output("id", "Comment ID", "UgxKREWxIgDrw8w2e_Z4AaABAg")
    text: str = output("snippet.textOriginal snippet.textDisplay", "Text", "Great!", "")
    author: str = output("snippet.authorDisplayName", "Author", "@ann", "")
    video_id: str = output("snippet.videoId", "Video ID; empty for comments on the channel", "dQw4w9WgXcQ", "")
    written_at: datetime = output("snippet.publishedAt", "Date written", "2026-11-23T09:00:00Z")


class Done(Output):
    id: str = output("id", "ID of the new item, or of the video", "UExCQ0YyREFDNkZGQjU3NERF")


@service.poll("New video", every=SOON, scopes=READ, hint=hints.published)
async def video_published(ctx: Context, channel: Channel) -> Events[Video]:
    """Triggers when a channel publishes a video."""
    async for item in _items(ctx, await _related(ctx, "uploads", channel), most=50):
        video = parse(Video, item, "YouTube")
        yield Event(video.id, video, video.published_at)


@service.poll("Video liked by you", every=SOON, scopes=READ)
async def video_liked(ctx: Context) -> Events[Video]:
    """Triggers when you like a video."""
    async for item in _items(ctx, await _related(ctx, "likes"), most=50):
        yield _added(item)


@service.poll("Video added to a playlist", every=SOON, scopes=READ)
async def playlist_item_added(ctx: Context, playlist: Playlist) -> Events[Video]:
    """Triggers when a video is added anywhere in a playlist."""
    async for item in _items(ctx, playlist, most=1000):
        yield _added(item)


@service.poll("New video matching a search", every=SELDOM, overlap=LATE, scopes=READ)
async def video_found(
    ctx: Context,
    since: datetime,
    query: Annotated[str, param("Words to search for", "selfhosting -shorts", min_length=1)],
) -> Events[Video]:
    """Triggers when a new video matches a search."""
    params = SNIPPET | {"type": "video", "order": "date", "q": query}
    params["publishedAfter"] = timestamp(since)
    # https://developers.google.com/youtube/v3/docs/search/list
    async for video in ctx.http.rows("/search", Video, params=params, most=50):
        yield Event(video.id, video, video.published_at)


@service.poll("New subscriber", every=SOON, scopes=READ)
async def subscriber_gained(ctx: Context) -> Events[Subscriber]:
    """Triggers when someone with public subscriptions subscribes to your channel."""
    query = {"part": "snippet,subscriberSnippet", "myRecentSubscribers": "true"}
    # https://developers.google.com/youtube/v3/docs/subscriptions/list
    async for item in ctx.http.rows("/subscriptions", params=query, most=50):
        yield Event(str(item.get("id")), parse(Subscriber, item, "YouTube"), _at(item))


@service.poll("New comment on an issue", every=SOON, scopes=TALK)
async def comment_written(ctx: Context, channel: Channel) -> Events[Comment]:
    """Triggers when someone comments on a channel or one of its videos. Replies don't count."""
    known = ctx.state.get("channel") or (await _found(ctx, channel, "id")).get("id")
    ctx.state["channel"] = known
    query = SNIPPET | {"allThreadsRelatedToChannelId": known, "textFormat": "plainText", "maxResults": "100"}
    # https://developers.google.com/youtube/v3/docs/commentThreads/list
    async for item in ctx.http.rows("/commentThreads", params=query, most=100):
        comment = parse(Comment, lookup("snippet.topLevelComment", item), "YouTube")
        yield Event(comment.id, comment, comment.written_at)


@service.reaction("Add a video to a playlist", scopes=WRITE, idempotent="same")
async def add_to_playlist(ctx: Context, playlist: Playlist, video: VideoId) -> Done:
    """Add a video to a playlist. Succeeds if it is already there."""
    query = {"part": "id", "playlistId": playlist, "videoId": video}
    # https://developers.google.com/youtube/v3/docs/playlistItems/list
    async for there in ctx.http.rows("/playlistItems", Done, params=query):
        return there
    body = {"snippet": {"playlistId": playlist, "resourceId": {"kind": "youtube#video", "videoId": video}}}
    # https://developers.google.com/youtube/v3/docs/playlistItems/insert
    return await ctx.http.post("/playlistItems", Done, params=SNIPPET, json=body)


@service.reaction("Rate a video", scopes=WRITE, idempotent="same")
async def rate_video(
    ctx: Context,
    video: VideoId,
    rating: Annotated[Literal["like", "dislike", "none"], param("Rating; none removes it", "like")] = "like",
) -> Done:
    """Like or dislike a video, or remove your rating."""
    # https://developers.google.com/youtube/v3/docs/videos/rate
    await ctx.http.call("POST", "/videos/rate", params={"id": video, "rating": rating})
    return Done(id=video)


@service.reaction("Comment on a video", on_crash="fail", scopes=TALK)
async def comment_on_video(
    ctx: Context,
    video: VideoId,
    text: Annotated[str, param("Text", "Thank you!", min_length=1, max_length=10_000)],
) -> Comment:
    """Comment on a video."""
    body = {"snippet": {"videoId": video, "topLevelComment": {"snippet": {"textOriginal": text}}}}
    # https://developers.google.com/youtube/v3/docs/commentThreads/insert
    return await ctx.http.post("/commentThreads", Comment, at="snippet.topLevelComment", params=SNIPPET, json=body)


@service.reaction("Subscribe to a channel", scopes=WRITE, idempotent="same")
async def subscribe(ctx: Context, channel: Channel) -> Done:
    """Subscribe to a channel. Succeeds if you already do."""
    known = str((await _found(ctx, channel, "id")).get("id"))
    query = {"part": "id", "mine": "true", "forChannelId": known}
    async for there in ctx.http.rows("/subscriptions", Done, params=query):
        return there
    body = {"snippet": {"resourceId": {"kind": "youtube#channel", "channelId": known}}}
    # https://developers.google.com/youtube/v3/docs/subscriptions/insert
    return await ctx.http.post("/subscriptions", Done, params=SNIPPET, json=body)


@service.picker
async def channels(ctx: Context) -> list[Option]:
    """Your own channel, and those that you subscribe to."""
    mine = SNIPPET | {"mine": "true"}
    own = [row async for row in ctx.http.rows("/channels", params=mine)]
    others = [row async for row in ctx.http.rows("/subscriptions", params=mine | {"order": "alphabetical"}, most=500)]
    return [
        Option(lookup("snippet.resourceId.channelId id", other), other["snippet"]["title"]) for other in own + others
    ]


async def _found(ctx: Context, channel: str, part: str) -> dict[str, Any]:
    """A channel by ID or handle, or the user's own. Raises `Permanent` if there is none."""
    which = {"mine": "true"} if not channel else {"forHandle" if channel.startswith("@") else "id": channel}
    # https://developers.google.com/youtube/v3/docs/channels/list
    async for row in ctx.http.rows("/channels", params={"part": part, **which}):
        return row
    raise Permanent(
        Sentence("YouTube has no channel %(channel)s.", channel=channel)
        if channel
        else Sentence("This account has no YouTube channel.")
    )


async def _related(ctx: Context, which: str, channel: str = "") -> str:
    """YouTube's playlist of a channel's uploads or likes."""
    if "playlist" not in ctx.state:
        details = await _found(ctx, channel, "contentDetails")
        ctx.state["playlist"] = parse(str, lookup(f"contentDetails.relatedPlaylists.{which}", details), "YouTube")
    playlist: str = ctx.state["playlist"]
    return playlist


async def _items(ctx: Context, playlist: str, most: int) -> AsyncIterator[dict[str, Any]]:
    """The visible videos of a playlist."""
    query = {"part": "snippet,contentDetails", "playlistId": playlist}
    # https://developers.google.com/youtube/v3/docs/playlistItems/list
    async for item in ctx.http.rows("/playlistItems", params=query, most=most):
        if lookup("contentDetails.videoPublishedAt", item):
            yield item


def _added(item: dict[str, Any]) -> Event[Video]:
    return Event(str(item.get("id")), parse(Video, item, "YouTube"), _at(item))


def _at(item: dict[str, Any]) -> datetime:
    return parse(datetime, lookup("snippet.publishedAt", item), "YouTube")
