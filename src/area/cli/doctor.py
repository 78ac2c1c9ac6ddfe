"""`area doctor`: checks everything that AREA needs, and explains how to fix what is wrong."""

import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from area.cli import console
from area.cli.findings import PATIENCE, Finding, fetch, look

if TYPE_CHECKING:
    from area.settings import Settings

LEAST_DISK = 1 << 30  # bytes

CONFIRM = (
    "Since AREA sends mail, consider AREA_REGISTRATION=confirm: new users confirm their address, and strangers"
    " can't find out which addresses have an account."
)


def doctor(as_json: console.AsJson = False) -> None:
    """Check that AREA and everything it needs work.

    Checks settings, files, keys, database, schema, catalog, web, workers, queue, clock, disk, proxies, registration,
    mail and DNS.
    Exit code 1 if a check fails.
    """
    findings = list(_look(console.configured(quiet=True)))
    if as_json:
        console.print_json(findings)
    else:
        for finding in findings:
            line = f"{'✓' if finding.ok else '✗'} {finding.name}: {finding.said} {'' if finding.ok else finding.advice}"
            console.echo(line.rstrip())
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _look(settings: "Settings") -> Iterator[Finding]:
    keys = _keys(settings)
    yield _settings(settings)
    yield _data_dir(settings.data_dir)
    yield _secret_key(settings, keys)
    yield _disk(settings.data_dir)
    yield _connectors()
    yield from _database(settings, keys or ())
    yield _proxy(settings)
    yield _registration(settings)
    yield _mail(settings)
    yield _dns(settings)


def _settings(settings: "Settings") -> Finding:
    """Check that every variable is one that AREA uses: a misspelt one would do nothing."""
    from difflib import get_close_matches

    from area.connections import registrations
    from area.registry import Malformed, registry
    from area.settings import NAMES_A_SERVICE, Settings, unknown_variables, variables

    names = [f"AREA_{name.upper()}" for name in Settings.model_fields if name not in ("clients", "servers")]
    unknown, halves = unknown_variables(), []
    try:
        services = registry().services
        clients = registrations.clients(registry(), settings)
    except Malformed:  # which another check tells
        pass
    else:
        given = variables()
        slugs = {client.client for client in clients} | set(services)
        own = tuple(f"AREA_{slug.upper()}_" for slug in slugs)
        named = [name for client in clients for name in client.variables]
        unknown = [name for name in unknown if not name.startswith(own)]  # a connector's own
        unknown += [name for name in given if NAMES_A_SERVICE.fullmatch(name.lower()) and not name.startswith(own)]
        names += named
        for client in clients:
            pair = [f"AREA_{client.client.upper()}_CLIENT_{part}" for part in ("ID", "SECRET")]
            if len(set(pair) & set(given)) == 1:
                halves += pair
    if unknown:
        guess = get_close_matches(unknown[0], names, 1)
        return Finding(
            "Settings",
            ok=False,
            said=f"AREA has no setting {' or '.join(sorted(set(unknown)))}.",
            advice=f"Did you mean {guess[0]}?" if guess else "Remove it, or fix its name.",
        )
    if halves:
        summary = f"{halves[0]} and {halves[1]} only work together, and one of them is missing."
        return Finding("Settings", ok=False, said=summary, advice="Set both or none.")
    return Finding("Settings", ok=True, said=f"valid; AREA's URL is {settings.base_url}.")


def _data_dir(path: Path) -> Finding:
    name = "Data dir"
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir():
        return Finding(
            name, ok=False, said=f"{existing.absolute()} is not a directory.", advice="Remove it, or set AREA_DATA_DIR."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            name,
            ok=False,
            said=f"{existing.absolute()} isn't writable.",
            advice="Make the user that runs AREA its owner, or set AREA_DATA_DIR.",
        )
    if existing is not path:
        return Finding(name, ok=True, said=f"{path.absolute()} is created at the first start.")
    if path.stat().st_mode & stat.S_IWOTH:
        return Finding(
            name,
            ok=False,
            said=f"everyone can write to {path.absolute()}.",
            advice=f"Run `chmod o-w {path.absolute()}`.",
        )
    return Finding(name, ok=True, said=f"{path.absolute()} is writable.")


def _keys(settings: "Settings") -> list[str] | None:
    """The secret keys; None if none can be read. Unlike `Settings.secret_keys`, this doesn't create one."""
    try:
        if settings.secret_key is None:
            (settings.data_dir / "secret_key").stat()
        return settings.secret_keys()
    except OSError:
        return None


def _secret_key(settings: "Settings", keys: list[str] | None) -> Finding:
    name, path = "Secret key", settings.data_dir / "secret_key"
    if settings.secret_key is not None:
        count = len(settings.secret_keys())
        return Finding(name, ok=True, said=f"{count} key{'' if count == 1 else 's'} from AREA_SECRET_KEY.")
    if not path.exists():
        return Finding(name, ok=True, said="created at the first start.")
    restore = "Restore it from a backup: credentials can't be read without it."
    if not path.is_file():
        return Finding(name, ok=False, said=f"{path} is not a file.", advice=restore)
    if keys is None:
        return Finding(name, ok=False, said=f"{path} can't be read.", advice="Make the user that runs AREA its owner.")
    if path.stat().st_mode & 0o077:
        return Finding(name, ok=False, said=f"other users can read {path}.", advice=f"Run `chmod 600 {path}`.")
    if not keys or not all(re.fullmatch(r"[!-~]{32,}", key) for key in keys):
        return Finding(name, ok=False, said=f"{path} contains no valid key.", advice=restore)
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


def _database(settings: "Settings", keys: Sequence[str]) -> list[Finding]:
    import asyncio

    if settings.database_url is None and not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        return [
            Finding("Database", ok=True, said="the embedded PostgreSQL is created at the first start."),
            Finding("Workers", ok=False, said="none is running.", advice="Start `area up`."),
        ]
    try:
        with console.database(settings) as dsn:
            return asyncio.run(look(settings, dsn, keys))
    except Exception as error:
        sentences = console.explain(error)
        if not sentences:
            raise
        advice = "" if settings.database_url else "If it can't be repaired, restore a backup: docs/howto/backup.md."
        return [Finding("Database", ok=False, said=" ".join(sentences), advice=advice)]


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
    import http.client

    try:
        _, text = fetch(settings, "/metrics")
    except (OSError, http.client.HTTPException):
        return []
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
