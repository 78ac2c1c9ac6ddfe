import asyncio
import json
import os
import subprocess
import time
import urllib.request

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.peers import smtp_server

from area.app import recommend
from area.cli import doctor
from area.db.embedded import binaries
from area.engine.runtime import worker
from area.engine.state import State
from area.settings import settings


@pytest.fixture(autouse=True)
def _public(monkeypatch):
    monkeypatch.setenv("AREA_PUBLIC_URL", "http://localhost")  # so that no name server is asked


def finding(area, name):
    return next(entry for entry in area_json(area) if entry["name"] == name)


def area_json(area):
    return json.loads(area("doctor", "--json").stdout)


def test_each_line_says_what_was_seen_and_what_to_do(area):
    result = area("doctor")
    assert result.exit_code == 1
    assert "✗ Workers: none is running. Start `area up` or `area worker`." in result.stdout
    for name in ("Settings", "Data dir", "Secret key", "Disk", "Connectors", "Database", "Clock", "Schema", "Catalog"):
        assert f"✓ {name}: " in result.stdout, result.stdout
    assert [entry["name"] for entry in area_json(area)][-2:] == ["Mail", "DNS"]


async def test_a_worker_is_seen_also_when_it_has_nothing_to_do(area, dsn):
    state = await State.open(settings(), dsn)
    try:
        with capture_logs():  # they would be taken for what the command prints
            async with worker(state):
                for _ in range(50):
                    result = await asyncio.to_thread(finding, area, "Workers")
                    if result["ok"]:
                        break
                # PgQueuer's last query is another than its first by now, which is what was looked at once
                pool = await state.database.pool()
                await pool.fetch("select pg_notify('ch_pgqueuer', '{}')")
                assert (await asyncio.to_thread(finding, area, "Workers"))["said"].startswith("1 running, with")
    finally:
        await state.close()
    assert result["said"].startswith("1 running, with")


def test_the_version_of_postgresql_is_the_one_that_it_says_itself(area):
    program = binaries() / "postgres"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    if "AREA_TEST_DATABASE_URL" not in os.environ:
        assert f"PostgreSQL {version}" in finding(area, "Database")["said"]


def test_a_minor_release_that_is_behind():
    assert doctor._release(18, doctor.NEWEST[18]) == f"18.{doctor.NEWEST[18]}."
    assert doctor._release(18, 0).startswith("18.0, which is older than 18.")
    assert doctor._release(99, 1) == "99.1."


def test_proxies(area, monkeypatch):
    monkeypatch.setenv("AREA_PUBLIC_URL", "https://localhost")
    result = finding(area, "Proxies")
    assert not result["ok"]
    assert "AREA_TRUSTED_PROXIES to the proxy's address, 127.0.0.1" in result["advice"]
    monkeypatch.setenv("AREA_TRUSTED_PROXIES", "127.0.0.1")
    assert finding(area, "Proxies") == {
        "name": "Proxies", "ok": True, "said": "X-Forwarded-For is trusted from 127.0.0.1.", "advice": "",
    }  # fmt: skip


def test_a_proxy_that_is_seen_and_not_trusted(area, start, free_port, dsn, monkeypatch):
    monkeypatch.setenv("AREA_PORT", str(free_port))
    monkeypatch.setenv("AREA_METRICS_TOKEN", "m" * 40)
    process = start("serve", AREA_DATABASE_URL=dsn)
    for line in process.stdout:
        if "web.started" in line:
            break
    request = urllib.request.Request(f"http://127.0.0.1:{free_port}/healthz", headers={"X-Real-IP": "192.0.2.1"})
    while True:
        try:
            urllib.request.urlopen(request, timeout=60).close()
            break
        except OSError:
            time.sleep(0.05)
    result = finding(area, "Proxies")
    assert not result["ok"]
    assert result["said"].startswith("127.0.0.1 sent X-Forwarded-For")
    monkeypatch.delenv("AREA_METRICS_TOKEN")
    assert finding(area, "Proxies")["ok"], "it can't be asked"


def test_a_key_that_others_may_read(area, tmp_path):
    key = tmp_path / "data" / "secret_key"
    key.chmod(0o644)
    assert not finding(area, "Secret key")["ok"]
    assert "chmod 600" in finding(area, "Secret key")["advice"]
    key.chmod(0o600)
    assert finding(area, "Secret key")["ok"]


def test_a_data_dir_that_everybody_may_write_into(area, tmp_path):
    (tmp_path / "data").chmod(0o777)
    assert not finding(area, "Data dir")["ok"]


async def test_a_job_that_waits_too_long_and_a_catalog_that_is_behind(area, database):
    pool = await database.pool()
    await pool.execute(
        "insert into pgqueuer (priority, entrypoint, payload, status, execute_after)"
        " values (0, 'execute', null, 'queued', now() - interval '5 minutes')"
    )
    await pool.execute("update components set name = 'former' where name = 'once_at'")
    queue = await asyncio.to_thread(finding, area, "Queue")
    assert not queue["ok"]
    assert "the oldest for 30" in queue["said"]
    catalog = await asyncio.to_thread(finding, area, "Catalog")
    assert "area catalog sync" in catalog["advice"]
    assert not catalog["ok"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("smtp://127.0.0.1:{port}?tls=none", ""),
        ("smtp://127.0.0.1:{port}", "does not offer STARTTLS, so AREA sends nothing"),
        ("smtp://ann:wrong@127.0.0.1:{port}?tls=none", "refuses the login"),
        ("smtp://127.0.0.1:1?tls=none", "can't be used"),
        ("mail", "must look like smtp://"),
    ],
)
def test_the_mail_server(area, monkeypatch, url, message):
    with smtp_server() as server:
        monkeypatch.setenv("AREA_SMTP_URL", url.format(port=server.port))
        result = finding(area, "Mail")
    assert result["ok"] is not bool(message)
    assert message in result["said"]
    assert result["ok"] or result["advice"]


def test_the_name_that_others_know_must_be_known_here(area, monkeypatch):
    monkeypatch.setenv("AREA_PUBLIC_URL", "https://localhost")
    assert finding(area, "DNS")["ok"]
    monkeypatch.setenv("AREA_PUBLIC_URL", "https://nowhere.invalid")
    assert not finding(area, "DNS")["ok"]


def test_registration_that_could_be_confirmed(area, monkeypatch):
    def said(**settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return finding(area, "Registration")["said"]

    assert said() == "open to everyone."
    assert said(AREA_SMTP_URL="smtp://127.0.0.1:1?tls=none") == "open to everyone.", "only this machine can reach it"
    assert "consider AREA_REGISTRATION=confirm" in said(AREA_HOST="0.0.0.0")
    assert said(AREA_REGISTRATION="confirm") == "open to everyone who confirms an e-mail address."
    assert said(AREA_REGISTRATION="invite") == "by invitation."
    monkeypatch.delenv("AREA_SMTP_URL")
    monkeypatch.setenv("AREA_REGISTRATION", "confirm")
    answer = area.refuses("doctor", code=2)
    assert answer.strip() == "AREA_REGISTRATION=confirm needs a mail server: set AREA_SMTP_URL"


def test_what_could_be_confirmed_is_logged():
    sending = settings().model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1"), "host": "0.0.0.0"})
    with capture_logs() as logs:
        recommend(sending)
        recommend(sending.model_copy(update={"registration": "confirm"}))
        recommend(sending.model_copy(update={"host": "127.0.0.1"}))
    assert [log["event"] for log in logs] == ["web.registration_open"]


def test_a_wrong_setting_is_told_by_its_name(no_database, monkeypatch):
    monkeypatch.setenv("AREA_PORT", "eighty")
    monkeypatch.setenv("AREA_SECRET_KEY", "changeme")
    sentences = no_database.refuses("doctor", code=2)
    assert "AREA_PORT: " in sentences
    assert "AREA_SECRET_KEY: each secret key needs 32 random characters" in sentences
