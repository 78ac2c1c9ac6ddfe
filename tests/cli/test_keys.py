import asyncio
import json

import asyncpg
import pytest
from tests.cli.conftest import DOORBELL

from area.kit.crypto import Keyring

OLD, NEW = "the-old-key-of-more-than-32-characters", "the-new-key-of-more-than-32-characters"


async def token_of(dsn, area_id=1):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("select token from triggers where area_id = $1", area_id)
    finally:
        await connection.close()


@pytest.fixture
def secret(area, tmp_path):
    """An AREA with a webhook address, which is encrypted."""

    def make():
        area.user("ann")
        (tmp_path / "areas.json").write_text(json.dumps([DOORBELL]))
        area.ok("apply", "-f", "areas.json")

    return make


async def test_with_keys_from_the_environment_the_first_encrypts(area, secret, dsn, monkeypatch):
    monkeypatch.setenv("AREA_SECRET_KEY", OLD)
    await asyncio.to_thread(secret)
    assert not Keyring([OLD]).needs_rotation(await token_of(dsn))
    monkeypatch.setenv("AREA_SECRET_KEY", f"{NEW},{OLD}")
    assert "Re-encrypted 2 secrets" in await asyncio.to_thread(area.ok, "keys", "rotate")
    assert not Keyring([NEW]).needs_rotation(await token_of(dsn))
    assert "Re-encrypted 0 secrets" in await asyncio.to_thread(area.ok, "keys", "rotate")


async def test_the_key_of_the_data_dir_is_made_anew_and_the_old_one_kept(area, secret, dsn, tmp_path):
    await asyncio.to_thread(secret)
    file = tmp_path / "data" / "secret_key"
    old = file.read_text().split()
    assert "Re-encrypted 2 secrets" in await asyncio.to_thread(area.ok, "keys", "rotate")
    keys = file.read_text().split()
    assert keys[1:] == old
    assert file.stat().st_mode & 0o777 == 0o600
    assert not Keyring(keys[:1]).needs_rotation(await token_of(dsn))


async def test_while_others_use_the_database_its_key_stays(area, secret, database, tmp_path):
    await asyncio.to_thread(secret)
    before = (tmp_path / "data" / "secret_key").read_text()
    await database.pool()
    assert "Stop AREA first" in await asyncio.to_thread(area.refuses, "keys", "rotate")
    assert (tmp_path / "data" / "secret_key").read_text() == before


async def test_what_no_key_decrypts_is_named_and_fails(area, secret, dsn, monkeypatch):
    monkeypatch.setenv("AREA_SECRET_KEY", OLD)
    await asyncio.to_thread(secret)
    monkeypatch.setenv("AREA_SECRET_KEY", NEW)
    result = await asyncio.to_thread(area, "keys", "rotate")
    assert result.exit_code == 1
    assert "2 secrets can't be decrypted with any key: area:1|token, area:1|secret." in result.stderr
    assert "remove them" not in result.output
    monkeypatch.setenv("AREA_SECRET_KEY", f"{NEW},{OLD}")
    assert "Re-encrypted 2 secrets" in await asyncio.to_thread(area.ok, "keys", "rotate")
