"""What `area doctor` checks in the database, and what a check finds."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from area.cli import console

if TYPE_CHECKING:
    import asyncpg

    from area.settings import Settings

OLDEST_JOB = 60.0  # seconds that a due job can be late
MOST_SKEW = 5.0  # seconds
PATIENCE = 5.0  # seconds for servers
MOST_READ = 5_000_000  # bytes of a response
SILENT = 60.0  # seconds without a query, after which a worker hangs; idle ones ask every few seconds

# Newest minor releases as of May 2026: https://www.postgresql.org/support/versioning/
NEWEST = {15: 18, 16: 14, 17: 10, 18: 4}

WORKERS = """
select min(extract(epoch from clock_timestamp() - state_change)::float8) as silent from pg_stat_activity
where datname = current_database() and starts_with(application_name, $1) group by application_name
"""

WEBS = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'area'"

# The key of a secret is its second part (`Keyring.encrypt`).
KEYS = """
select split_part(secret, '.', 2) as key, count(*) as secrets from (
    select oauth_token as secret from user_services union all select oauth_token from named_connections
    union all select access_token from connection_states union all select secret from two_factor
    union all select token from triggers union all select token from source_hints
    union all select substr(value, 5) from area_parameters where starts_with(value, 'enc:')
) stored where starts_with(secret, 'v1.') group by 1
"""

FAILING_CLEANUPS = """
select s.name as service, c.last_error from vendor_cleanups c join services s on s.id = c.service_id
where c.last_error is not null order by c.id limit 1
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` explains how to fix it if it failed."""

    name: str
    ok: bool
    said: str
    advice: str = ""


async def look(settings: "Settings", dsn: str, keys: Sequence[str]) -> list[Finding]:
    """Check the database, what is in it, and who uses it. `keys` are this installation's secret keys."""
    import asyncpg

    from area.db import schema
    from area.db.dsn import raw_dsn

    connection = await asyncpg.connect(raw_dsn(dsn), timeout=console.REACH_TIMEOUT)
    try:
        version = connection.get_server_version()
        kind = "external" if settings.database_url else "embedded"
        supported = version.major >= schema.OLDEST_SERVER
        summary = f"{kind} PostgreSQL {release(version.major, version.micro)}"
        findings = [
            Finding("Database", ok=supported, said=summary, advice=f"AREA needs {schema.OLDEST_SERVER} or later.")
        ]
        encoding = connection.get_settings().server_encoding
        if encoding != "UTF8":
            advice = "Create another one with `encoding 'UTF8'`, and set AREA_DATABASE_URL to it."
            findings.append(Finding("Encoding", ok=False, said=f"{encoding}, but AREA needs UTF8.", advice=advice))
        findings.append(await _clock(connection))
        current = await schema.current(dsn)
        if current != schema.head():
            summary = f"{current or 'no schema yet'}, but this version of AREA needs {schema.head()}."
            newer = current is not None and current not in schema.revisions()
            advice = "A newer AREA made it: install that again." if newer else "Run `area db upgrade`."
            return [*findings, Finding("Schema", ok=False, said=summary, advice=advice)]
        findings.append(Finding("Schema", ok=True, said=f"{current}."))
        return [
            *findings,
            await _secrets(connection, keys),
            await _queue(connection),
            await _catalog(connection),
            await _web(connection, settings),
            *await _engine(connection),
        ]
    finally:
        await connection.close()


def release(major: int, minor: int) -> str:
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


async def _secrets(connection: "asyncpg.Connection[Any]", keys: Sequence[str]) -> Finding:
    """Check that the stored secrets were encrypted with keys that are known here."""
    from area.kit.crypto import Keyring

    known = Keyring(keys).key_ids if keys else frozenset()
    counts = {row["key"]: row["secrets"] for row in await connection.fetch(KEYS)}
    total = sum(counts.values())
    missing = sum(count for key, count in counts.items() if key not in known)
    if not missing:
        return Finding("Credentials", ok=True, said=f"{total} stored secrets, all encrypted with known keys.")
    return Finding(
        "Credentials",
        ok=False,
        said=f"{missing} of {total} stored secrets were encrypted with a secret key that is missing here.",
        advice="Restore AREA_SECRET_KEY or the data directory's secret_key from a backup, after the current key if"
        " there is one. Without it, users must enter those credentials again.",
    )


async def _web(connection: "asyncpg.Connection[Any]", settings: "Settings") -> Finding:
    """Check that a web process responds here, or runs on another machine."""
    import http.client

    from area.cli.supervise import EVERYWHERE

    here = f"http://{EVERYWHERE.get(settings.host, settings.host)}:{settings.port}"
    try:
        status, body = fetch(settings, "/readyz")
    except ConnectionRefusedError:
        if await connection.fetchval(WEBS):
            return Finding("Web", ok=True, said="runs on another machine, or on another port.")
        return Finding("Web", ok=False, said=f"nothing listens at {here}.", advice="Start `area up` or `area serve`.")
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or "no response in time"
        advice = "Restart it; its log says what it waits for."
        return Finding("Web", ok=False, said=f"{here} doesn't respond: {reason}.", advice=advice)
    if status == 200 and body == "ready\n":
        return Finding("Web", ok=True, said=f"ready at {here}.")
    if status == 503 and body.startswith("the database"):
        return Finding("Web", ok=False, said=f"not ready: {body.strip()}.", advice="Restart it.")
    advice = "Stop that program, or choose another port with AREA_PORT."
    return Finding("Web", ok=False, said=f"another program responds at {here}.", advice=advice)


def fetch(settings: "Settings", path: str) -> tuple[int, str]:
    """GET from the web process on this machine. Raises `OSError` or `HTTPException`."""
    import http.client

    from area.cli.supervise import EVERYWHERE

    connection = http.client.HTTPConnection(
        EVERYWHERE.get(settings.host, settings.host), settings.port, timeout=PATIENCE
    )
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else ""
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read(MOST_READ).decode("utf-8", "replace")
    finally:
        connection.close()


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

    silences = [row["silent"] for row in await connection.fetch(WORKERS, WORKER)]
    hung = sum(silence > SILENT for silence in silences)
    jobs = sum((await queue.depth(connection)).values(), queue.Depth())
    if hung:
        summary = f"{hung} of {len(silences)} hasn't used the database for {max(silences):.0f} s, so it hangs."
        workers = Finding("Workers", ok=False, said=summary, advice="Restart it; its log may say why.")
    else:
        summary = f"{len(silences)} running, with {jobs.running} jobs in progress." if silences else "none is running."
        workers = Finding("Workers", ok=bool(silences), said=summary, advice="Start `area up` or `area worker`.")
    waits = f", the oldest for {jobs.oldest:.0f} s" if jobs.due else ""
    return [
        workers,
        await _vendors(connection),
        Finding(
            "Queue",
            ok=jobs.oldest < OLDEST_JOB,
            said=f"{jobs.due} jobs due{waits}.",
            advice="Workers are stuck or too few: check their logs, or start more.",
        ),
    ]


async def _vendors(connection: "asyncpg.Connection[Any]") -> Finding:
    """Check that vendors can be notified of deletions."""
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
