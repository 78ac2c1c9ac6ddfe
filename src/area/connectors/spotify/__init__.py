"""Spotify: triggers on saved, played and added tracks and on releases; saves, queues, plays and pauses, edits
playlists.
"""

# its addresses since February 2026:
# https://developer.spotify.com/documentation/web-api/tutorials/february-2026-migration-guide

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from area.sdk import (
    Context,
    Event,
    Events,
    OAuth2,
    Output,
    Pages,
    Permanent,
    Sentence,
    Service,
    lookup,
    output,
    param,
    parse,
    profile,
    quoted,
    without_blanks,
)

OFTEN = timedelta(minutes=5)
LATE = timedelta(days=7)  # a release is dated by its day, and may be seen some days later
URL = "external_urls.spotify"
ADDRESS = re.compile(r"(?:spotify:|https://open\.spotify\.com/(?:intl-\w+/)?)(\w+)[:/]([A-Za-z0-9]{22})(?:\?.*)?")
SEE_PLAYLISTS = ("playlist-read-private", "playlist-read-collaborative")
CHANGE_PLAYLISTS = (*SEE_PLAYLISTS, "playlist-modify-public", "playlist-modify-private")
PLAY = ("user-read-playback-state", "user-modify-playback-state")
FOLLOWED = Pages("artists.items", next="artists.cursors.after", more="artists.next", cursor="after", most=20)


def _following(page: dict[str, Any]) -> int | None:
    """Offset of the next page. Of more than 1,000 rows, the first 50 and the last 950, where tracks are added."""
    begin: int = page["offset"] + 50
    return (begin if page["offset"] else max(begin, page["total"] - 950)) if page["next"] else None


service = Service(
    "spotify",
    "Spotify",
    "React to tracks you save, play or add to playlists and to new releases; save, queue and play tracks.",
    docs="https://developer.spotify.com/documentation/web-api",
    base_url="https://api.spotify.com/v1",
    pages=Pages("items", next=_following, cursor="offset", query={"limit": "50", "offset": "0"}, most=20),
    auth=OAuth2(  # https://developer.spotify.com/documentation/web-api/tutorials/code-flow
        "https://accounts.spotify.com/authorize",
        "https://accounts.spotify.com/api/token",
        # https://developer.spotify.com/documentation/web-api/reference/get-current-users-profile: the e-mail is
        # unverified
        profile("/me", id="id", name="display_name", email="email", verified=False),
        scopes=("user-read-email",),
        login_scopes=("user-read-email",),
        # https://accounts.spotify.com/.well-known/openid-configuration
        revoke_url="https://accounts.spotify.com/oauth2/revoke/v1",
    ),
    quality="verified",
    synonyms={
        "": "music, song, playlist, album",
        "track_saved": "liked song, favourite song, I like a song",
        "track_played": "recently played, listen, listening history",
        "track_added": "song added to playlist",
        "artist_released": "new album, new song by an artist, new single, release radar, new music, band",
        "save_track": "like a song, favourite",
        "add_to_playlist": "add song to playlist",
        "queue_track": "queue song, play next",
        "start_playback": "play music, resume, next song, unpause, skip song",
        "pause_playback": "stop the music, mute, silence",
    },
)
# https://developer.spotify.com/documentation/web-api/reference/get-followed
service.options("artists", "/me/following", params={"type": "artist", "limit": "50"}, pages=FOLLOWED)
# https://developer.spotify.com/documentation/web-api/reference/get-a-users-available-devices
service.options("devices", "/me/player/devices", hint="type", where=lambda device: device["id"], pages=Pages("devices"))
# https://developer.spotify.com/documentation/web-api/reference/get-a-list-of-current-users-playlists
service.options("playlists", "/me/playlists")

Playlist = Annotated[str, param("Playlist", "3cEYpjA9oz9GiPac4AsH4n", pick="playlists", min_length=1)]
Wanted = Annotated[str, param("URL or URI, or words to search for", "Imagine, John Lennon", min_length=1)]
ARTIST = "Artist ID; choose among those you follow"
Artist = Annotated[str, param(ARTIST, "0TnOYISbd1XYRBk9myaseg", pick="artists", min_length=1)]
WHAT = "URL or URI of a track, album, artist or playlist; resumes if empty"
What = Annotated[str, param(WHAT, "spotify:album:5ht7ItJgpBH7W6vJ5BqpPr")]
Name = Annotated[str, param("Name", "Summer", min_length=1)]
About = Annotated[str, param("Description", "What we heard in summer")]
Public = Annotated[bool, param("Show it on your profile", False)]
Device = Annotated[str, param("Device; the active one if empty", "74ASZWbe4lXaubB36ztrGX", pick="devices")]


class Track(Output):
    id: str | None = output("id", "ID, unless it is a local file", "4iV5W9uYEdYUVa79Axb7Rh", None)
    name: str = output("name", "Name", "Imagine")
    artist: str = output("artists.0.name show.name", "First artist", "John Lennon", "")
    album: str = output("album.name", "Album", "Imagine", "")
    uri: str = output("uri", "URI", "spotify:track:4iV5W9uYEdYUVa79Axb7Rh")
    url: str = output(URL, "URL", "https://open.spotify.com/track/4iV5W9uYEdYUVa79Axb7Rh", "")


class Album(Output):
    id: str = output("id", "ID", "5ht7ItJgpBH7W6vJ5BqpPr")
    name: str = output("name", "Name", "Imagine")
    artist: str = output("artists.0.name", "First artist", "John Lennon")
    type: str = output("album_type", "album, single or compilation", "album")
    released: str = output("release_date", "Release date", "2026-11-20")
    uri: str = output("uri", "URI", "spotify:album:5ht7ItJgpBH7W6vJ5BqpPr")
    url: str = output(URL, "URL", "https://open.spotify.com/album/5ht7ItJgpBH7W6vJ5BqpPr", "")


class Created(Output):
    id: str = output("id", "ID", "3cEYpjA9oz9GiPac4AsH4n")
    name: str = output("name", "Name", "Summer")
    url: str = output(URL, "URL", "https://open.spotify.com/playlist/3cEYpjA9oz9GiPac4AsH4n", "")


@service.poll("Track saved by you", every=OFTEN, scopes=("user-library-read",), newest_first=True)
def track_saved(ctx: Context) -> Events[Track]:
    """Triggers when you save a track to your liked songs."""
    # https://developer.spotify.com/documentation/web-api/reference/get-users-saved-tracks
    return _events(ctx.http.rows("/me/tracks"))


@service.poll("Track played by you", every=OFTEN, scopes=("user-read-recently-played",))
def track_played(ctx: Context) -> Events[Track]:
    """Triggers when you have played a track, on any device. Podcasts don't count."""
    # https://developer.spotify.com/documentation/web-api/reference/get-recently-played
    return _events(ctx.http.rows("/me/player/recently-played", pages=Pages("items", query={"limit": "50"})))


@service.poll("Track added to a playlist", every=OFTEN, scopes=SEE_PLAYLISTS)
async def track_added(ctx: Context, playlist: Playlist) -> Events[Track]:
    """Triggers when someone adds a track or episode to one of your own or collaborative playlists."""
    # https://developer.spotify.com/documentation/web-api/reference/get-playlist
    snapshot = await ctx.http.get(
        quoted("/playlists/{}", playlist), str, at="snapshot_id", params={"fields": "snapshot_id"}
    )
    if ctx.state.get("snapshot") == snapshot:
        return
    # https://developer.spotify.com/documentation/web-api/reference/get-playlists-items
    async for event in _events(ctx.http.rows(quoted("/playlists/{}/items", playlist))):
        yield event
    ctx.state["snapshot"] = snapshot


@service.poll("New release by an artist", every=timedelta(hours=1), overlap=LATE, scopes=("user-follow-read",))
async def artist_released(ctx: Context, artist: Artist) -> Events[Album]:
    """Triggers when an artist releases an album or single."""
    for kind in ("album", "single"):  # each the newest first, and 10 at most
        query = {"include_groups": kind, "limit": "10"}
        # https://developer.spotify.com/documentation/web-api/reference/get-an-artists-albums
        async for album in ctx.http.rows(quoted("/artists/{}/albums", artist), Album, params=query, most=10):
            if re.fullmatch(r"\d{4}-\d\d-\d\d", album.released):  # old ones have a year only
                yield Event(album.id, album, datetime.fromisoformat(album.released).replace(tzinfo=UTC))


@service.reaction("Save a track", scopes=("user-library-modify",), idempotent="same")
async def save_track(ctx: Context, track: Wanted) -> Track:
    """Save a track to your liked songs."""
    target = await _track(ctx, track)
    # https://developer.spotify.com/documentation/web-api/reference/save-library-items
    await ctx.http.call("PUT", "/me/library", params={"uris": target.uri})
    return target


@service.reaction("Add a track to a playlist", on_crash="fail", scopes=CHANGE_PLAYLISTS)
async def add_to_playlist(ctx: Context, track: Wanted, playlist: Playlist) -> Track:
    """Add a track to the end of a playlist."""
    target = await _track(ctx, track)
    # https://developer.spotify.com/documentation/web-api/reference/add-items-to-playlist
    await ctx.http.post(quoted("/playlists/{}/items", playlist), json={"uris": [target.uri]})
    return target


@service.reaction("Create a playlist", on_crash="fail", scopes=CHANGE_PLAYLISTS)
async def create_playlist(ctx: Context, *, name: Name, description: About = "", public: Public = False) -> Created:
    """Create a playlist in your account."""
    body = {"name": name, "description": description, "public": public}
    # https://developer.spotify.com/documentation/web-api/reference/create-playlist
    return await ctx.http.post("/me/playlists", Created, json=body)


@service.reaction("Add a track to the queue", on_crash="fail", scopes=PLAY)
async def queue_track(ctx: Context, *, device: Device = "", track: Wanted) -> Track:
    """Add a track to the queue, to play next. Spotify Premium only."""
    target = await _track(ctx, track)
    # https://developer.spotify.com/documentation/web-api/reference/add-to-queue
    await ctx.http.call("POST", "/me/player/queue", params=without_blanks(uri=target.uri, device_id=device))
    return target


@service.reaction("Start playback", scopes=PLAY, idempotent="same")
async def start_playback(ctx: Context, device: Device = "", what: What = "") -> None:
    """Play a track, album, artist or playlist, or resume playback. Spotify Premium only."""
    kind, uri = _address(what)
    if what and not uri:
        raise Permanent(Sentence('"%(text)s" is not a Spotify URL or URI.', text=what))
    body = without_blanks(uris=[uri]) if kind in ("track", "episode") else without_blanks(context_uri=uri)
    # https://developer.spotify.com/documentation/web-api/reference/start-a-users-playback
    await ctx.http.call("PUT", "/me/player/play", params=without_blanks(device_id=device), json=body or None)


@service.reaction("Pause playback", scopes=PLAY, idempotent="same")
async def pause_playback(ctx: Context, device: Device = "") -> None:
    """Pause playback. Spotify Premium only."""
    # https://developer.spotify.com/documentation/web-api/reference/pause-a-users-playback
    await ctx.http.call("PUT", "/me/player/pause", params=without_blanks(device_id=device))


@service.lookup("Find a track")
async def find_track(
    ctx: Context, words: Annotated[str, param("Words to search for", "Imagine, John Lennon", min_length=1)]
) -> Track | None:
    """Find the track that fits a search best."""
    tracks = await _search(ctx, words)
    return tracks[0] if tracks else None


async def _search(ctx: Context, text: str) -> list[Track]:
    query = {"q": text, "type": "track", "limit": "1"}
    # https://developer.spotify.com/documentation/web-api/reference/search
    return await ctx.http.get("/search", list[Track], at="tracks.items", params=query)


async def _events(rows: AsyncIterator[dict[str, Any]]) -> Events[Track]:
    async for row in rows:
        if item := row.get("item") or row.get("track"):  # neither, where it is gone from Spotify
            track, at = parse(Track, item, "Spotify"), lookup("added_at played_at", row)
            yield Event(f"{track.uri} {at}", track, parse(datetime | None, at, "Spotify"))


def _address(text: str) -> tuple[str, str]:
    """The kind and URI of a URL or URI; empty if it is neither."""
    match = ADDRESS.fullmatch(text.strip())
    return (match[1], f"spotify:{match[1]}:{match[2]}") if match else ("", "")


async def _track(ctx: Context, text: str) -> Track:
    kind, uri = _address(text)
    if kind == "track":  # https://developer.spotify.com/documentation/web-api/reference/get-track
        return await ctx.http.get(f"/tracks/{uri.rpartition(':')[2]}", Track)
    if kind:
        raise Permanent(Sentence('"%(text)s" is not a track.', text=text))
    for track in await _search(ctx, text):
        return track
    raise Permanent(Sentence('Spotify found no track for "%(text)s".', text=text))
