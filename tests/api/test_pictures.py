"""Profile pictures: uploaded as a body, kept in the database, served by every process."""

import io

from PIL import Image
from sqlalchemy import text
from tests.engine.conftest import rows

from area import app as root
from area.accounts import pictures


def picture(color="red"):
    file = io.BytesIO()
    Image.new("RGB", (300, 200), color).save(file, "PNG")
    return file.getvalue()


async def stored(state):
    return [(row["name"], row["user_id"]) for row in await rows(state, "select name, user_id from pictures")]


async def test_one_is_uploaded_replaced_and_removed(people, state):
    user, mine = people.user, people.ids["user"]
    first = (await user.request("PUT", "/api/me/picture", body=picture())).json()["icon_path"]
    assert await stored(state) == [(first.removeprefix("/avatars/"), mine)]
    async with state.database.sessions() as session:
        with Image.open(io.BytesIO(await pictures.read(session, first.removeprefix("/avatars/")))) as saved:
            assert (saved.format, saved.size) == ("WEBP", (256, 256))
    second = (await user.request("PUT", "/api/me/picture", body=picture("blue"))).json()["icon_path"]
    assert second != first
    assert await stored(state) == [(second.removeprefix("/avatars/"), mine)]
    assert (await user.patch("/api/me", {"icon_path": second})).json()["icon_path"] == second
    assert len(await stored(state)) == 1
    assert (await user.patch("/api/me", {"icon_path": "https://example.org/me.png"})).status == 200
    assert await stored(state) == []
    assert (await user.request("PUT", "/api/me/picture", body=picture())).status == 200
    assert (await user.delete("/api/me/picture")).json()["icon_path"] is None
    assert await stored(state) == []


async def test_what_is_no_picture_or_too_large_is_refused(people):
    refused = await people.user.request("PUT", "/api/me/picture", body=b"<svg/>")
    assert (refused.status, refused.json()["errors"][0]["field"]) == (422, "picture")
    assert (await people.user.request("PUT", "/api/me/picture", body=b"x" * 5_000_001)).status == 413


async def test_files_of_an_older_version_move_into_the_database(people, state, tmp_path):
    state.settings = state.settings.model_copy(update={"data_dir": tmp_path})
    folder = state.settings.data_dir / "avatars"
    folder.mkdir(parents=True)
    used, unused = "0" * 32 + ".webp", "1" * 32 + ".webp"
    for name in (used, unused):
        (folder / name).write_bytes(b"picture of " + name.encode())
    async with state.database.transaction() as session:
        await session.execute(
            text("update users set icon_path = :path where username = 'other'"), {"path": f"/avatars/{used}"}
        )
    for _ in range(2):  # a second start finds nothing to do
        await root._sync(state)
        assert await stored(state) == [(used, people.ids["other"])]
        assert [file.name for file in folder.iterdir()] == [unused]
    async with state.database.sessions() as session:
        assert await pictures.read(session, used) == b"picture of " + used.encode()
