import asyncio
import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request

import asyncpg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.peers import smtp_server

from area.app import recommend
from area.cli import findings
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
    assert "✗ Web: nothing listens at http://127.0.0.1:" in result.stdout
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
    assert findings.release(18, findings.NEWEST[18]) == f"18.{findings.NEWEST[18]}."
    assert findings.release(18, 0).startswith("18.0, which is older than 18.")
    assert findings.release(99, 1) == "99.1."


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


@pytest.mark.parametrize(
    ("variables", "said", "advice"),
    [
        ({"AREA_REGISTRATON": "closed"}, "no setting AREA_REGISTRATON.", "Did you mean AREA_REGISTRATION?"),
        ({"AREA_GITHBU_CLIENT_ID": "1"}, "no setting AREA_GITHBU_CLIENT_ID.", "Did you mean AREA_GITHUB_CLIENT_ID?"),
        ({"AREA_GITHUB_CLIENT_ID": "1"}, "only work together", "Set both or none."),
        ({"AREA_GITHUB_CLIENT_ID": "1", "AREA_GITHUB_CLIENT_SECRET": "2", "AREA_GITLAB_SERVER": "https://x.test"},
         "valid; AREA's URL is ", ""),
    ],
)  # fmt: skip
def test_a_variable_that_does_nothing(no_database, monkeypatch, tmp_path, variables, said, advice):
    *first, last = variables.items()
    for name, value in first:
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text(f"{last[0]}={last[1]}\n")
    checked = finding(no_database, "Settings")
    assert said in checked["said"]
    assert checked["advice"] == advice
    assert checked["ok"] is not bool(advice)


def test_before_the_first_start_nothing_is_made(no_database, tmp_path):
    checks = {check["name"]: check for check in area_json(no_database)}
    assert [name for name, check in checks.items() if not check["ok"]] == ["Workers"]
    assert checks["Database"]["said"] == "the embedded PostgreSQL is created at the first start."
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_data_dir_that_is_none(no_database, tmp_path, monkeypatch, kind):
    (tmp_path / "data").write_text("")
    if kind == "below a file":
        monkeypatch.setenv("AREA_DATA_DIR", str(tmp_path / "data" / "deeper"))
    checked = finding(no_database, "Data dir")
    assert checked["said"] == f"{tmp_path}/data is not a directory."
    assert not checked["ok"]


def test_secrets_whose_key_is_gone(area, tmp_path, monkeypatch):
    area.user()
    area.ok("apply", "-f", "-", typed=json.dumps([{
        "name": "Hook", "action": {"component": "webhook.received"},
        "reaction": {"component": "inbox.post", "parameters": {"title": "x"}},
    }]))  # fmt: skip
    good = finding(area, "Credentials")
    assert (good["ok"], good["said"]) == (True, "1 stored secrets, all encrypted with known keys.")
    key, kept = tmp_path / "data" / "secret_key", (tmp_path / "data" / "secret_key").read_bytes()
    missing = "1 of 1 stored secrets were encrypted with a secret key that is missing here."

    def check(wrong: str, key_line: str) -> None:
        assert finding(area, "Credentials")["said"] == missing, wrong
        assert key_line in finding(area, "Secret key")["said"], wrong

    key.unlink()
    check("lost", "created at the first start")
    assert not key.exists(), "a new one would hide that the old one is lost"
    for wrong in (b"short\n", bytes(range(128, 200))):
        key.write_bytes(wrong)
        key.chmod(0o600)
        check("damaged", "contains no valid key")
    key.unlink()
    key.mkdir()
    check("a directory", "is not a file")
    key.rmdir()
    monkeypatch.setenv("AREA_SECRET_KEY", "another-key-of-32-characters-or-more")
    check("another", "1 key from AREA_SECRET_KEY")
    monkeypatch.setenv("AREA_SECRET_KEY", f"another-key-of-32-characters-or-more,{kept.decode().strip()}")
    assert finding(area, "Credentials")["ok"]


def test_another_program_on_the_port(area, monkeypatch):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        monkeypatch.setenv("AREA_PORT", str(other.getsockname()[1]))
        answering = threading.Thread(target=answer_one, args=(other,), daemon=True)
        answering.start()
        checked = finding(area, "Web")
        answering.join()
    assert checked["said"].startswith("another program responds at http://127.0.0.1:")
    assert checked["advice"] == "Stop that program, or choose another port with AREA_PORT."


def answer_one(server: socket.socket) -> None:
    for _ in range(2):  # what is asked for: whether it is ready, and its metrics
        client, _ = server.accept()
        with client:
            client.recv(1000)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


async def test_a_worker_that_hangs(area, dsn, monkeypatch):
    monkeypatch.setattr(findings, "SILENT", -1.0)  # so that any worker is
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "area worker here 1"})
    try:
        checked = await asyncio.to_thread(finding, area, "Workers")
    finally:
        await connection.close()
    assert checked["said"].startswith("1 of 1 hasn't used the database for ")
    assert not checked["ok"]


async def test_a_schema_of_a_newer_version(area, dsn):
    connection = await asyncpg.connect(dsn)
    await connection.execute("update alembic_version set version_num = '9999'")
    await connection.close()
    checked = await asyncio.to_thread(finding, area, "Schema")
    assert checked["advice"] == "A newer AREA made it: install that again."


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
