"""`area doctor`: checks everything that AREA needs, and explains how to fix what is wrong."""

import http.client
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from area.cli import console

if TYPE_CHECKING:
    import asyncpg

    from area.settings import Settings

LEAST_DISK = 1 << 30  # bytes
OLDEST_JOB = 60.0  # seconds that a due job can be late
MOST_SKEW = 5.0  # seconds
PATIENCE = 5.0  # seconds for external servers

# Newest minor releases as of May 2026: https://www.postgresql.org/support/versioning/
NEWEST = {15: 18, 16: 14, 17: 10, 18: 4}

WORKERS = """
select count(distinct application_name) from pg_stat_activity
where datname = current_database() and starts_with(application_name, $1)
"""

FAILING_CLEANUPS = """
select s.name as service, c.last_error from vendor_cleanups c join services s on s.id = c.service_id
where c.last_error is not null order by c.id limit 1
"""

CONFIRM = (
    "Since AREA sends mail, consider AREA_REGISTRATION=confirm: new users confirm their address, and strangers"
    " can't find out which addresses have an account."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` explains how to fix it if it failed."""

    name: str
    ok: bool
    said: str
    advice: str = ""


def doctor(as_json: console.AsJson = False) -> None:
    """Check that AREA and everything it needs work.

    Checks settings, files, database, schema, catalog, workers, queue, clock, disk, proxies, registration, mail and DNS.
    Exit code 1 if a check fails.
    """
    findings = list(_look(console.configured(quiet=True)))
    if as_json:
        console.print_json(findings)
    else:
        for finding in findings:
            advice = "" if finding.ok else f" {finding.advice}"
            console.echo(f"{'✓' if finding.ok else '✗'} {finding.name}: {finding.said}{advice}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _look(settings: "Settings") -> Iterator[Finding]:
    import asyncio

    yield Finding("Settings", ok=True, said=f"valid; AREA's URL is {settings.base_url}.")
    yield _data_dir(settings.data_dir)
    yield _secret_key(settings)
    yield _disk(settings.data_dir)
    yield _connectors()
    try:
        with console.database(settings) as dsn:
            yield from asyncio.run(_database(settings, dsn))
    except Exception as error:
        sentences = console.explain(error)
        if not sentences:
            raise
        yield Finding("Database", ok=False, said=" ".join(sentences))
    yield _proxy(settings)
    yield _registration(settings)
    yield _mail(settings)
    yield _dns(settings)


def _data_dir(path: Path) -> Finding:
    name = "Data dir"
    if not path.is_dir():
        return Finding(name, ok=True, said=f"{path.absolute()} is created at the first start.")
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(
            name,
            ok=False,
            said=f"{path.absolute()} isn't writable.",
            advice="Make the user that runs AREA its owner, or set AREA_DATA_DIR.",
        )
    if path.stat().st_mode & stat.S_IWOTH:
        return Finding(
            name,
            ok=False,
            said=f"everyone can write to {path.absolute()}.",
            advice=f"Run `chmod o-w {path.absolute()}`.",
        )
    return Finding(name, ok=True, said=f"{path.absolute()} is writable.")


def _secret_key(settings: "Settings") -> Finding:
    name, path = "Secret key", settings.data_dir / "secret_key"
    if settings.secret_key is not None:
        count = len(settings.secret_keys())
        return Finding(name, ok=True, said=f"{count} key{'' if count == 1 else 's'} from AREA_SECRET_KEY.")
    if not path.exists():
        return Finding(name, ok=True, said="created at the first start.")
    if not os.access(path, os.R_OK):
        return Finding(name, ok=False, said=f"{path} can't be read.", advice="Make the user that runs AREA its owner.")
    if path.stat().st_mode & 0o077:
        return Finding(name, ok=False, said=f"other users can read {path}.", advice=f"Run `chmod 600 {path}`.")
    keys = settings.secret_keys()
    if not keys or any(len(key) < 32 for key in keys):
        return Finding(
            name,
            ok=False,
            said=f"{path} contains no valid key.",
            advice="Restore it from a backup: credentials can't be read without it.",
        )
    return Finding(
        name, ok=True, said=f"{len(keys)} key{'' if len(keys) == 1 else 's'} in {path}, readable only by its owner."
    )


def _disk(path: Path) -> Finding:
    while not path.exists():
        path = path.absolute().parent
    usage = shutil.disk_usage(path)
    summary = f"{usage.free / (1 << 30):.1f} GB free where the data is."
    return Finding(
        "Disk", ok=usage.free >= LEAST_DISK, said=summary, advice="Free some space: a full disk stops the database."
    )


def _connectors() -> Finding:
    from area.registry import Malformed, registry

    try:
        services = registry().services
    except Malformed as error:
        return Finding(
            "Connectors", ok=False, said=str(error), advice="Fix or remove the connector: AREA can't start with it."
        )
    count = sum(len(service.actions) + len(service.reactions) for service in services.values())
    return Finding("Connectors", ok=True, said=f"{len(services)} services with {count} components.")


async def _database(settings: "Settings", dsn: str) -> list[Finding]:
    import asyncpg

    from area.db import schema
    from area.db.dsn import raw_dsn

    connection = await asyncpg.connect(raw_dsn(dsn), timeout=console.REACH_TIMEOUT)
    try:
        version = connection.get_server_version()
        kind = "external" if settings.database_url else "embedded"
        supported = version.major >= schema.OLDEST_SERVER
        summary = f"{kind} PostgreSQL {_release(version.major, version.micro)}"
        findings = [
            Finding("Database", ok=supported, said=summary, advice=f"AREA needs {schema.OLDEST_SERVER} or later.")
        ]
        findings.append(await _clock(connection))
        current = await schema.current(dsn)
        if current != schema.head():
            summary = f"{current or 'no schema yet'}, but this version of AREA needs {schema.head()}."
            return [*findings, Finding("Schema", ok=False, said=summary, advice="Run `area db upgrade`.")]
        findings.append(Finding("Schema", ok=True, said=f"{current}."))
        return [*findings, await _queue(connection), await _catalog(connection), *await _engine(connection)]
    finally:
        await connection.close()


def _release(major: int, minor: int) -> str:
    """The version, and whether it is outdated. From version 10 on, asyncpg returns the minor version as `micro`."""
    newest = NEWEST.get(major, 0)
    if minor >= newest:
        return f"{major}.{minor}."
    return f"{major}.{minor}, which is older than {major}.{newest}. Update it: minor releases fix security holes."


async def _clock(connection: "asyncpg.Connection[Any]") -> Finding:
    before = time.monotonic()
    theirs: datetime = await connection.fetchval("select clock_timestamp()")
    apart = abs((datetime.now(UTC) - theirs).total_seconds()) - (time.monotonic() - before)
    summary = f"{max(0.0, apart):.1f} s off the database's clock."
    return Finding(
        "Clock",
        ok=apart < MOST_SKEW,
        said=summary,
        advice="Synchronise both with NTP: timers use this machine's clock.",
    )


async def _catalog(connection: "asyncpg.Connection[Any]") -> Finding:
    from area.registry import Malformed, registry

    try:
        services = registry().services.values()
    except Malformed:
        return Finding("Catalog", ok=False, said="can't be compared.", advice="Fix the connector first.")
    code = {
        (service.name, kind, component.name)
        for service in services
        for kind, components in (("action", service.actions), ("reaction", service.reactions))
        for component in components.values()
    }
    rows = await connection.fetch(
        "select s.name as service, c.type::text, c.name from components c join services s on s.id = c.service_id"
    )
    missing = len(code - {(row["service"], row["type"], row["name"]) for row in rows})
    summary = (
        f"{missing} of {len(code)} components are missing from the database."
        if missing
        else f"{len(code)} components, as in the code."
    )
    return Finding("Catalog", ok=not missing, said=summary, advice="Run `area catalog sync`.")


async def _queue(connection: "asyncpg.Connection[Any]") -> Finding:
    """Check that the queue's tables match the installed PgQueuer."""
    from area.db import queue

    changes = await queue.drift(connection)
    summary = (
        f"{queue.version()} expects different tables: {' '.join(changes)}"
        if changes
        else f"as {queue.version()} expects."
    )
    advice = "Install the versions that this release of AREA requires."
    return Finding("Queue's schema", ok=not changes, said=summary, advice=advice)


async def _engine(connection: "asyncpg.Connection[Any]") -> list[Finding]:
    from area.db import queue
    from area.db.session import WORKER

    alive = await connection.fetchval(WORKERS, WORKER)
    jobs = sum((await queue.depth(connection)).values(), queue.Depth())
    summary = f"{alive} running, with {jobs.running} jobs in progress." if alive else "none is running."
    waits = f", the oldest for {jobs.oldest:.0f} s" if jobs.due else ""
    return [
        Finding("Workers", ok=alive > 0, said=summary, advice="Start `area up` or `area worker`."),
        await _vendors(connection),
        Finding(
            "Queue",
            ok=jobs.oldest < OLDEST_JOB,
            said=f"{jobs.due} jobs due{waits}.",
            advice="Workers are stuck or too few: check their logs, or start more.",
        ),
    ]


async def _vendors(connection: "asyncpg.Connection[Any]") -> Finding:
    """Check that vendors can be told what was deleted."""
    row = await connection.fetchrow(FAILING_CLEANUPS)
    name = "Deleted connections"
    if row is None:
        return Finding(name, ok=True, said="all vendors have been told.")
    return Finding(
        name,
        ok=False,
        said=f"{row['service']} couldn't be told that access is over: {row['last_error']}",
        advice="AREA tries again for three days; the audit log tells how it ended.",
    )


def _proxy(settings: "Settings") -> Finding:
    """Check that proxies in front of AREA are trusted to name their clients."""
    name = "Proxies"
    peers = _untrusted_peers(settings)
    if peers:
        return Finding(
            name,
            ok=False,
            said=f"{' and '.join(peers)} sent X-Forwarded-For or similar but is not trusted, so all"
            " clients behind it count as one.",
            advice="If it is your proxy, add it to AREA_TRUSTED_PROXIES. If not, somebody is pretending to be one; this"
            " has no effect.",
        )
    if settings.base_url.startswith("https://") and not settings.proxies():
        return Finding(
            name,
            ok=False,
            said="AREA_PUBLIC_URL is https, so there is a proxy in front, but none is trusted: all clients count as one"
            " address.",
            advice="Set AREA_TRUSTED_PROXIES to the proxy's address, 127.0.0.1 if it runs on this machine.",
        )
    trusted = ", ".join(settings.proxies())
    return Finding(name, ok=True, said=f"X-Forwarded-For is trusted from {trusted}." if trusted else "none is trusted.")


def _untrusted_peers(settings: "Settings") -> list[str]:
    """Peers whose X-Forwarded-For this machine's running web processes ignored. Empty if none runs."""
    from area.cli.supervise import EVERYWHERE

    connection = http.client.HTTPConnection(
        EVERYWHERE.get(settings.host, settings.host), settings.port, timeout=PATIENCE
    )
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else ""
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        text = connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return []
    finally:
        connection.close()
    return sorted(set(re.findall(r'^area_untrusted_proxies_total\{peer="([^"]*)"\}', text, re.MULTILINE)))


def _registration(settings: "Settings") -> Finding:
    summary = {
        "open": "open to everyone.",
        "confirm": "open to everyone who confirms an e-mail address.",
        "invite": "by invitation.",
        "closed": "closed.",
    }[settings.registration]
    return Finding("Registration", ok=True, said=f"{summary} {CONFIRM}" if settings.could_confirm else summary)


def _mail(settings: "Settings") -> Finding:
    import asyncio

    from area.mail.server import HOW, MailServer, Unusable

    if settings.smtp_url is None:
        return Finding("Mail", ok=True, said="AREA_SMTP_URL is not set, so no mail is sent.")

    async def look(server: MailServer) -> None:
        async with asyncio.timeout(PATIENCE), server.connected():
            pass

    try:
        server = MailServer.parse(settings.smtp_url.get_secret_value())
        asyncio.run(look(server))
    except ValueError as error:
        return Finding("Mail", ok=False, said=str(error), advice="Fix AREA_SMTP_URL.")
    except (Unusable, TimeoutError) as error:
        summary = str(error) or f"{server} did not respond within {PATIENCE:g} seconds."
        return Finding(
            "Mail", ok=False, said=summary, advice="Mails wait until it works; send a test with `area mail test`."
        )
    return Finding(
        "Mail", ok=True, said=f"{server} responds, {HOW[server.tls]}; mail is sent from {server.sender.address}."
    )


def _dns(settings: "Settings") -> Finding:
    """Check that the public URL's host name resolves here too; without one, that any name does."""
    host = urlsplit(settings.public_url).hostname if settings.public_url else None
    for name in (host,) if host else ("example.com", "iana.org"):
        try:
            address = socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)[0][4][0]
        except OSError:
            continue
        return Finding("DNS", ok=True, said=f"{name} resolves to {address}.")
    if host is None:  # as in a network of its own, where AREA works, too
        return Finding(
            "DNS", ok=True, said="names such as example.com can't be resolved; services there can't be used."
        )
    advice = "Check the network, /etc/resolv.conf and AREA_PUBLIC_URL."
    return Finding("DNS", ok=False, said=f"{host} can't be resolved.", advice=advice)
