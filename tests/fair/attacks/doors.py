"""Where AREA listens and what it sends: names, proxies, ports, headers, terminals, and small things that once were
errors.
"""

import asyncio
import os
import subprocess
import sys

from tests.fair.stage import Stage

from . import attack

GUESSES = 51  # more than one address may make


@attack(alone=False)
async def rebound_name(stage: Stage) -> None:
    """A page whose name was rebound to loopback: its requests come with a foreign Host."""
    evil = f"evil.example:{stage.area.port}"
    headers = {"Host": evil, "Origin": f"http://{evil}", "Sec-Fetch-Site": "same-origin"}
    body = {"email": "eve@example.org", "username": "eve", "password": "a long sentence nobody guesses"}
    answer = await stage.request("POST", "/api/auth/register", json_body=body, headers=headers)
    stage.table.is_so(stage.attack, "register is refused with 421", answer.status, answer.status == 421)
    for path in ("/metrics", "/", "/sign-in", "/healthz", "/api/docs", "/about.json", "/hooks/x", "/static/app.css"):
        answer = await stage.request("GET", path, headers=headers)
        stage.table.is_so(stage.attack, f"{path} is refused with 421", answer.status, answer.status == 421)
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "127.0.0.1:x",
        "",
    ):
        answer = await _raw(stage, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        stage.table.is_so(stage.attack, f"Host {host!r}", answer, answer in (421, 400))
    for host in ("127.0.0.1", "localhost", "[::1]", f"localhost:{stage.area.port}"):
        answer = await _raw(stage, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        stage.table.is_so(stage.attack, f"Host {host!r} is answered", answer, answer == 200)


async def _raw(stage: Stage, text: str) -> int:
    """The status of what is sent as it stands; 400 for a connection that is closed without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.area.port)
    writer.write(text.encode())
    line = await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    return int(line.split()[1]) if line else 400


@attack(AREA_TRUSTED_PROXIES="10.0.0.5")
async def untrusted_proxy(stage: Stage) -> None:
    """Log-ins behind a proxy that isn't trusted: all come from one address, and the operator is told."""
    for number in range(GUESSES):
        headers = {"X-Forwarded-For": f"198.51.100.{number + 1}"}
        await stage.log_in(f"nobody-{number}", "wrong", headers=headers)
    log = [entry for entry in stage.area.logged(least="warning") if "forwarded" in str(entry).lower()]
    stage.table.is_so(stage.attack, "one log line says so", len(log), len(log) == 1)
    environment = os.environ | {"AREA_DATA_DIR": str(stage.area.data), "AREA_TRUSTED_PROXIES": "10.0.0.5"}
    environment |= {"AREA_PORT": str(stage.area.port), "COLUMNS": "200"}
    command = [sys.executable, "-m", "area.cli", "doctor"]
    doctor = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False
    )
    hears = "forwarded" in (doctor.stdout + doctor.stderr).lower()
    stage.table.is_so(stage.attack, "`area doctor` says so", "yes" if hears else doctor.stdout[-60:], hears)


@attack(alone=False)
async def header_lines(stage: Stage) -> None:
    """A value that would go on in further header lines of a request."""
    headers = "X-A: {{body.h}}"
    for end in ("\n", "\r\n", "\r", "\u2028", "\u0085", "\x0b", "\x0c", "\x1e"):
        hook = await stage.attacker.hook(url=f"{stage.website}/headers", headers=headers)
        value = f"v{end}Authorization: Bearer attacker{end}Idempotency-Key: k"
        answer = await stage.attacker.ask("POST", hook, {"h": value})
        seen = await _result(stage, answer.body["execution_id"])
        sent = "Bearer attacker" in str(seen.get("authorization")) or seen.get("idempotency-key") == ["k"]
        stage.table.is_so(stage.attack, f"no further header after {end!r}", sorted(seen)[:4], not sent)


async def _result(stage: Stage, execution: int) -> dict:
    """What /headers saw, which is the reaction's result; {} when the execution failed."""
    done = "select status in ('success', 'failed') from area_executions where id = $1"
    await stage.until(done, execution, seconds=20)
    import json

    row = await stage.database.value("select execution_result::text from area_executions where id = $1", execution)
    return dict((json.loads(str(row)) or {}).get("body") or {}) if row else {}


BAD_PORTS = (22, 25, 53, 110, 143, 465, 587, 993, 6000, 6667, 10080)


@attack(alone=False)
async def bad_ports(stage: Stage) -> None:
    """HTTP to ports where something else listens (https://fetch.spec.whatwg.org/#port-blocking)."""
    for port in BAD_PORTS:
        hook = await stage.attacker.hook(url=f"http://nowhere.invalid:{port}/")
        answer = await stage.attacker.ask("POST", hook, {})
        query = "select error_message from area_executions where id = $1"
        execution = answer.body["execution_id"]
        await stage.until("select error_message is not null from area_executions where id = $1", execution, seconds=10)
        why = str(await stage.database.value(query, execution))
        stage.table.is_so(stage.attack, f"port {port} is refused", why, "port" in why and "refused" in why)


@attack(alone=False)
async def terminal_escapes(stage: Stage) -> None:
    """Names that a terminal would obey."""
    for name in ("\x1b]0;PWNED\x07\x1b[31mred", "two\nlines", "\x9b31m", "\u202edesrever", "bell\x07", "\u2028line"):
        parts = {"url": f"{stage.website}/sink"}
        answer = await stage.attacker.try_area("webhook.received", {}, "http.request", name, **parts)
        stage.table.is_so(stage.attack, f"the name {name!r} is refused", answer.status, answer.status == 422)


@attack(alone=False)
async def small_faults(stage: Stage) -> None:
    """Requests that were once answered with 500, or believed too much."""
    form = await stage.request("POST", "/profile", data={"x": "1"}, headers=stage.attacker.cookie)
    stage.table.is_so(stage.attack, "a profile form without its fields", form.status, form.status < 500)
    mapped = {"url": "http://[::ffff:127.1]:80/", "path": "a"}
    answer = await stage.attacker.try_area("http.value_changed", mapped, "inbox.post", title="x")
    await asyncio.sleep(5)
    bugs = [entry for entry in stage.area.logged() if "ValueError" in str(entry)]
    stage.table.is_so(stage.attack, "a mapped address is no bug", answer.status, not bugs)
    hook = await stage.attacker.hook("inbox.post", title="{{body.n|number:2}}")
    sent = await stage.request(
        "POST", hook, data='{"n": "' + "9" * 5000 + '"}', headers={"Content-Type": "application/json"}
    )
    await asyncio.sleep(3)
    bugs = [entry for entry in stage.area.logged() if "InvalidOperation" in str(entry)]
    stage.table.is_so(stage.attack, "a number of 5,000 digits is no bug", sent.status, not bugs)
    metrics = await stage.request("GET", "/metrics", headers={"Forwarded": "for=198.51.100.7"})
    stage.table.is_so(
        stage.attack, "/metrics through a proxy (Forwarded)", metrics.status, metrics.status in (401, 403, 404)
    )
    metrics = await stage.request("GET", "/metrics", headers={"X-Real-IP": "198.51.100.7"})
    stage.table.is_so(
        stage.attack, "/metrics through a proxy (X-Real-IP)", metrics.status, metrics.status in (401, 403, 404)
    )
    token = {"Authorization": "", "Cookie": ""}
    created = await stage.attacker.ask(
        "POST", "/api/me/tokens", {"name": "fair", "password": "a long sentence nobody guesses"}
    )
    if created.status != 201:
        created = await stage.attacker.ask("POST", "/api/me/tokens", {"name": "fair"})
    token = {"Cookie": f"area_session={created.body['token']}"}
    answer = await stage.request("GET", "/api/me", headers=token)
    stage.table.is_so(stage.attack, "an API token is no cookie", answer.status, answer.status == 401)
