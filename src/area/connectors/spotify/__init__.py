"""Spotify: tracks saved, played and added to playlists, releases; save, queue, play, pause and playlists.

The addresses are those that applications registered since February 2026 have:
https://developer.spotify.com/documentation/web-api/tutorials/february-2026-migration-guide
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from area.sdk import Account, Context, Event, Nothing, OAuth2, Option, Permanent, Pick, Row, Service, found, parse

OFTEN = timedelta(minutes=5)
LATE = timedelta(days=7)  # a release is dated by its day, and may be seen some days later
PAGES = 20  # of 50 rows
ADDRESS = re.compile(r"(?:spotify:|https://open\.spotify\.com/(?:intl-\w+/)?)(\w+)[:/]([A-Za-z0-9]{22})(?:\?.*)?")
SEE_PLAYLISTS = ("playlist-read-private", "playlist-read-collaborative")
CHANGE_PLAYLISTS = (*SEE_PLAYLISTS, "playlist-modify-public", "playlist-modify-private")
PLAY = ("user-read-playback-state", "user-modify-playback-state")
Playlist = Annotated[str, Pick("playlists")]


async def _account(ctx: Context) -> Account:
    # https://developer.spotify.com/documentation/web-api/reference/get-current-users-profile: the e-mail is unverified
    me = await ctx.http.get("/me")
    return Account(me["id"], me.get("display_name") or me["id"], me.get("email"), email_verified=False)


service = Service(
    "spotify",
    "Spotify",
    "Tracks that you save, play or add to playlists, and new releases; save and play tracks, and make playlists.",
    docs="https://developer.spotify.com/documentation/web-api",
    base_url="https://api.spotify.com/v1",
    auth=OAuth2(  # https://developer.spotify.com/documentation/web-api/tutorials/code-flow
        "https://accounts.spotify.com/authorize",
        "https://accounts.spotify.com/api/token",
        _account,
        scopes=("user-read-email",),
        login_scopes=("user-read-email",),
    ),
    quality="verified",
)


class InPlaylist(BaseModel):
    """Which playlist."""

    playlist: Playlist = Field(min_length=1, description="Playlist", examples=["3cEYpjA9oz9GiPac4AsH4n"])


class ByArtist(BaseModel):
    """Which artist."""

    artist: Annotated[str, Pick("artists")] = Field(
        min_length=1, description="Artist, by id; those you follow can be chosen", examples=["0TnOYISbd1XYRBk9myaseg"]
    )


class OneTrack(BaseModel):
    """Which track."""

    track: str = Field(
        min_length=1, description="Its address or URI, or words to search for", examples=["Imagine, John Lennon"]
    )


class ToPlaylist(InPlaylist, OneTrack):
    """Which track, and where to."""


class NewPlaylist(BaseModel):
    """The playlist to make."""

    name: str = Field(min_length=1, description="Its name", examples=["Summer"])
    description: str = Field("", description="What it is about", examples=["What we heard in summer"])
    public: bool = Field(False, description="Whether it is shown on your profile", examples=[False])


class OnDevice(BaseModel):
    """Which device."""

    device: Annotated[str, Pick("devices")] = Field(
        "", description="Device; empty: the one that is playing", examples=["74ASZWbe4lXaubB36ztrGX"]
    )


class Queued(OneTrack, OnDevice):
    """Which track, and on which device."""


class Playing(OnDevice):
    """What to play, and on which device."""

    what: str = Field(
        "",
        description="Address or URI of a track, album, artist or playlist; empty: go on",
        examples=["spotify:album:5ht7ItJgpBH7W6vJ5BqpPr"],
    )


class Track(Row):
    """A track."""

    id: str | None = found("id", "Its id, unless it is a local file", "4iV5W9uYEdYUVa79Axb7Rh", None)
    name: str = found("name", "Its name", "Imagine")
    artist: str = found("artists.0.name show.name", "Its first artist", "John Lennon", "")
    album: str = found("album.name", "Its album", "Imagine", "")
    uri: str = found("uri", "Its URI", "spotify:track:4iV5W9uYEdYUVa79Axb7Rh")
    url: str = found(
        "external_urls.spotify", "Its address", "https://open.spotify.com/track/4iV5W9uYEdYUVa79Axb7Rh", ""
    )


class Album(Row):
    """An album or a single."""

    id: str = found("id", "Its id", "5ht7ItJgpBH7W6vJ5BqpPr")
    name: str = found("name", "Its name", "Imagine")
    artist: str = found("artists.0.name", "Its first artist", "John Lennon")
    type: str = found("album_type", "album, single or compilation", "album")
    released: str = found("release_date", "When it was released", "2026-11-20")
    uri: str = found("uri", "Its URI", "spotify:album:5ht7ItJgpBH7W6vJ5BqpPr")
    url: str = found(
        "external_urls.spotify", "Its address", "https://open.spotify.com/album/5ht7ItJgpBH7W6vJ5BqpPr", ""
    )


class Made(Row):
    """A playlist."""

    id: str = found("id", "Its id", "3cEYpjA9oz9GiPac4AsH4n")
    name: str = found("name", "Its name", "Summer")
    url: str = found(
        "external_urls.spotify", "Its address", "https://open.spotify.com/playlist/3cEYpjA9oz9GiPac4AsH4n", ""
    )


@service.poll("You save a track", every=OFTEN, scopes=("user-library-read",))
async def track_saved(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Track]]:  # noqa: ARG001
    """You save a track to your liked songs."""
    # https://developer.spotify.com/documentation/web-api/reference/get-users-saved-tracks
    async for row in _all(ctx, "/me/tracks", {}):
        event = _event(row, row["added_at"])
        yield event
        if event.at and event.at < since:
            return


@service.poll("You play a track", every=OFTEN, scopes=("user-read-recently-played",))
async def track_played(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Track]]:  # noqa: ARG001
    """You have played a track, on any device. Podcasts do not count."""
    # https://developer.spotify.com/documentation/web-api/reference/get-recently-played
    for row in (await ctx.http.get("/me/player/recently-played", params={"limit": "50"}))["items"]:
        yield _event(row, row["played_at"])


@service.poll("A track is added to a playlist", every=OFTEN, scopes=SEE_PLAYLISTS)
async def track_added(ctx: Context, params: InPlaylist, since: datetime) -> AsyncIterator[Event[Track]]:  # noqa: ARG001
    """Somebody adds a track or an episode to a playlist of yours, or one that you work on with others."""
    # https://developer.spotify.com/documentation/web-api/reference/get-playlist
    playlist = await ctx.http.get(f"/playlists/{params.playlist}", params={"fields": "snapshot_id"})
    if ctx.state.get("snapshot") == playlist["snapshot_id"]:
        return
    # https://developer.spotify.com/documentation/web-api/reference/get-playlists-items
    async for row in _all(ctx, f"/playlists/{params.playlist}/items", {}):
        if row.get("item") or row.get("track"):  # neither, where it is gone from Spotify
            yield _event(row, row["added_at"])
    ctx.state["snapshot"] = playlist["snapshot_id"]


@service.poll("An artist releases something", every=timedelta(hours=1), overlap=LATE, scopes=("user-follow-read",))
async def artist_released(ctx: Context, params: ByArtist, since: datetime) -> AsyncIterator[Event[Album]]:  # noqa: ARG001
    """An artist releases an album or a single."""
    for kind in ("album", "single"):  # each the newest first, and 10 at most
        # https://developer.spotify.com/documentation/web-api/reference/get-an-artists-albums
        query = {"include_groups": kind, "limit": "10"}
        for row in (await ctx.http.get(f"/artists/{params.artist}/albums", params=query))["items"]:
            album = parse(Album, row, "Spotify")
            if re.fullmatch(r"\d{4}-\d\d-\d\d", album.released):  # old ones have a year only
                yield Event(album.id, album, datetime.fromisoformat(album.released).replace(tzinfo=UTC))


@service.reaction("Save a track", scopes=("user-library-modify",))
async def save_track(ctx: Context, params: OneTrack) -> Track:
    """Save a track to your liked songs."""
    track = await _track(ctx, params.track)
    # https://developer.spotify.com/documentation/web-api/reference/save-library-items
    await ctx.http.call("PUT", "/me/library", params={"uris": track.uri})
    return track


@service.reaction("Add a track to a playlist", on_crash="fail", scopes=CHANGE_PLAYLISTS)
async def add_to_playlist(ctx: Context, params: ToPlaylist) -> Track:
    """Add a track at the end of a playlist."""
    track = await _track(ctx, params.track)
    # https://developer.spotify.com/documentation/web-api/reference/add-items-to-playlist
    await ctx.http.post(f"/playlists/{params.playlist}/items", json={"uris": [track.uri]})
    return track


@service.reaction("Create a playlist", on_crash="fail", scopes=CHANGE_PLAYLISTS)
async def create_playlist(ctx: Context, params: NewPlaylist) -> Made:
    """Create a playlist of yours."""
    # https://developer.spotify.com/documentation/web-api/reference/create-playlist
    return parse(Made, await ctx.http.post("/me/playlists", json=params.model_dump()), "Spotify")


@service.reaction("Add a track to the queue", on_crash="fail", scopes=PLAY)
async def queue_track(ctx: Context, params: Queued) -> Track:
    """Play a track next. Spotify Premium only."""
    track = await _track(ctx, params.track)
    # https://developer.spotify.com/documentation/web-api/reference/add-to-queue
    await ctx.http.call("POST", "/me/player/queue", params={"uri": track.uri, **_on(params)})
    return track


@service.reaction("Start playback", scopes=PLAY)
async def start_playback(ctx: Context, params: Playing) -> Nothing:
    """Play a track, an album, an artist or a playlist, or go on with what was playing. Spotify Premium only."""
    body: dict[str, Any] | None = None
    if params.what:
        kind, uri = _address(params.what) or ("", "")
        if not uri:
            raise Permanent(f"{params.what!r} is no address or URI of Spotify.")
        body = {"uris": [uri]} if kind in ("track", "episode") else {"context_uri": uri}
    # https://developer.spotify.com/documentation/web-api/reference/start-a-users-playback
    await ctx.http.call("PUT", "/me/player/play", params=_on(params), json=body)
    return Nothing()


@service.reaction("Pause playback", scopes=PLAY)
async def pause_playback(ctx: Context, params: OnDevice) -> Nothing:
    """Pause what is playing. Spotify Premium only."""
    # https://developer.spotify.com/documentation/web-api/reference/pause-a-users-playback
    await ctx.http.call("PUT", "/me/player/pause", params=_on(params))
    return Nothing()


@service.picker
async def playlists(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The user's playlists."""
    # https://developer.spotify.com/documentation/web-api/reference/get-a-list-of-current-users-playlists
    return [Option(one["id"], one["name"]) async for one in _all(ctx, "/me/playlists", {})]


@service.picker
async def artists(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The artists that the user follows."""
    options: list[Option] = []
    query = {"type": "artist", "limit": "50"}
    for _ in range(PAGES):
        # https://developer.spotify.com/documentation/web-api/reference/get-followed
        page = (await ctx.http.get("/me/following", params=query))["artists"]
        options += [Option(one["id"], one["name"]) for one in page["items"]]
        if not page["next"]:
            break
        query["after"] = page["cursors"]["after"]
    return options


@service.picker
async def devices(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """The devices that are on."""
    # https://developer.spotify.com/documentation/web-api/reference/get-a-users-available-devices
    rows = (await ctx.http.get("/me/player/devices"))["devices"]
    return [Option(one["id"], one["name"], one["type"]) for one in rows if one["id"]]


async def _all(ctx: Context, path: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    """The rows; of more than a thousand the first fifty and the last, where tracks are added."""
    offset = 0
    for number in range(PAGES):
        page = await ctx.http.get(path, params={"limit": "50", "offset": str(offset), **query})
        for row in page["items"]:
            yield row
        if not page["next"]:
            return
        offset += 50
        if number == 0:
            offset = max(offset, page["total"] - 50 * (PAGES - 1))


def _event(row: dict[str, Any], at: str | None) -> Event[Track]:
    track = parse(Track, row.get("item") or row.get("track"), "Spotify")
    return Event(f"{track.uri} {at}", track, datetime.fromisoformat(at) if at else None)


def _address(text: str) -> tuple[str, str] | None:
    """The kind and the URI that an address or a URI stands for."""
    match = ADDRESS.fullmatch(text.strip())
    return (match[1], f"spotify:{match[1]}:{match[2]}") if match else None


async def _track(ctx: Context, text: str) -> Track:
    kind, uri = _address(text) or ("", "")
    if kind == "track":
        # https://developer.spotify.com/documentation/web-api/reference/get-track
        return parse(Track, await ctx.http.get(f"/tracks/{uri.rpartition(':')[2]}"), "Spotify")
    if kind:
        raise Permanent(f"{text!r} is no track.")
    # https://developer.spotify.com/documentation/web-api/reference/search
    answer = await ctx.http.get("/search", params={"q": text, "type": "track", "limit": "1"})
    if not answer["tracks"]["items"]:
        raise Permanent(f"Spotify finds no track for {text!r}.")
    return parse(Track, answer["tracks"]["items"][0], "Spotify")


def _on(params: OnDevice) -> dict[str, str]:
    return {"device_id": params.device} if params.device else {}
