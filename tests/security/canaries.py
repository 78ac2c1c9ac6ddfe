"""A secret of every kind, each a text that is nowhere else, and the places where they may turn up."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import psutil

from area.db import backup as backups
from tests.fair.stage import Answer, Person, Stage

HEX = "5ec2e7"  # what each begins with; letters and digits, so that no encoding changes it
MOST_PAGES = 150


@dataclass
class Canaries:
    """Secrets by name; where a secret is meant to be shown, that place is named with it."""

    secrets: dict[str, str] = field(default_factory=dict)
    shown: dict[str, set[str]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)  # what was looked through: characters
    found: list[str] = field(default_factory=list)

    def make(self, name: str) -> str:
        """A secret to give to AREA."""
        return self.keep(name, f"{HEX}{len(self.secrets):03}{os.urandom(9).hex()}")

    def keep(self, name: str, secret: str, *, shown: set[str] | None = None) -> str:
        """A secret that AREA made. `shown` are the kinds of place where its owner may see it again."""
        assert len(secret) >= 6, (name, secret)
        self.secrets[name] = secret
        self.shown[name] = shown or set()
        return secret

    def look(self, kind: str, place: str, text: str | bytes) -> None:
        """Look for all of them; `kind` is `log`, `database`, `api`, `page`, `export`, `metrics`, `processes` or
        `backup`.
        """
        content = text.encode() if isinstance(text, str) else text
        self.places[kind] = self.places.get(kind, 0) + len(content)
        for name, secret in self.secrets.items():
            if kind not in self.shown[name] and any(form in content for form in forms(secret)):
                self.found.append(f"{name} in {kind} {place}")


def forms(secret: str) -> set[bytes]:
    """How it would look in JSON, in an address, in hexadecimal digits (bytea of a dump)."""
    plain = secret.encode()
    return {plain, json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode(), plain.hex().encode()}


async def look_through(stage: Stage, canaries: Canaries, people: list[Person]) -> None:
    """Everything that an installation shows, keeps or tells."""
    canaries.look("log", "of all processes", stage.area.log.read_bytes())
    await _database(stage, canaries)
    for person in people:
        await _api(stage, canaries, person)
        await _pages(stage, canaries, person)
    for path in ("/metrics", "/about.json", "/api/openapi.json", "/readyz"):
        headers = {"Authorization": f"Bearer {canaries.secrets['metrics token']}"} if path == "/metrics" else {}
        answer = await stage.request("GET", path, headers=headers)
        assert answer.status == 200, (path, answer)
        canaries.look("metrics" if path == "/metrics" else "api", path, _text(answer))
    _processes(stage, canaries)
    _backup(stage, canaries)
    canaries.look("log", "at the end", stage.area.log.read_bytes())


def _text(answer: Answer) -> str:
    body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body, ensure_ascii=False)
    return body + "\n" + "\n".join(f"{name}: {value}" for name, value in answer.headers.items())


async def _database(stage: Stage, canaries: Canaries) -> None:
    tables = await stage.database.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema') order by 1"
    )
    assert len(tables) > 20
    for table in tables:
        rows = await stage.database.fetch(f"select t::text as row from {table['name']} t")
        canaries.look("database", table["name"], "\n".join(row["row"] or "" for row in rows))
    statements = await stage.database.fetch("select query from pg_stat_activity")
    canaries.look("database", "statements", "\n".join(row["query"] or "" for row in statements))


async def _api(stage: Stage, canaries: Canaries, person: Person) -> None:
    """Each GET of the API; parameters in paths get every id that the lists above them name."""
    openapi = (await stage.request("GET", "/api/openapi.json")).body
    gets = [path for path, methods in openapi["paths"].items() if "get" in methods]
    ids = await _ids(stage)
    answered = 0
    for path in gets:
        if "callback" in path or "events" in path or "stream" in path:
            continue  # an answer of a provider; a stream that does not end
        for address in _filled(path, ids):
            answer = await person.ask("GET", address)
            assert answer.status < 500, (address, answer)
            answered += answer.status == 200
            canaries.look("export" if "export" in path else "api", f"{address} ({person.name})", _text(answer))
    assert answered > 15, answered


async def _ids(stage: Stage) -> dict[str, list[Any]]:
    async def column(query: str) -> list[Any]:
        return [row[0] for row in await stage.database.fetch(query)]

    return {
        "area_id": await column("select id from areas"),
        "execution_id": await column("select id from area_executions order by id desc limit 5"),
        "user_id": await column("select id from users"),
        "service": ["http", "email", "webhook", "github", "discord", "mqtt", "calendar", "rss"],
    }


def _filled(path: str, ids: dict[str, list[Any]]) -> Iterator[str]:
    names = re.findall(r"\{(\w+)\}", path)
    if not names:
        yield path
        return
    for value in ids.get(names[0], [1]):
        yield from _filled(path.replace(f"{{{names[0]}}}", str(value), 1), ids)


async def _pages(stage: Stage, canaries: Canaries, person: Person) -> None:
    """Follow the links of the pages, from the first one, and the exports that they link."""
    waiting, seen = ["/", "/profile", "/services", "/runs", "/inbox", "/areas/new"], set()
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        headers = {"Cookie": person.cookie["Cookie"]}
        answer = await stage.request("GET", path, headers=headers)
        assert answer.status < 500, (path, answer)
        canaries.look("export" if "export" in path else "page", f"{path} ({person.name})", _text(answer))
        for link in re.findall(r'(?:href|hx-get|data-url)="([^"#]+)"', str(answer.body)):
            where = urlsplit(urljoin(f"{stage.area.url}{path}", link.replace("&amp;", "&")))
            ours = where.netloc == urlsplit(stage.area.url).netloc
            if (
                ours
                and not where.path.startswith(("/static", "/icons", "/api", "/avatars"))
                and "stream" not in where.path
            ):
                waiting.append(where.path + (f"?{where.query}" if where.query else ""))
    assert len(seen) > 15, seen


def _processes(stage: Stage, canaries: Canaries) -> None:
    lines = []
    for process in stage.area.family():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            lines.append(" ".join(process.cmdline()))
    assert len(lines) > 3
    canaries.look("processes", "", "\n".join(lines))


def _backup(stage: Stage, canaries: Canaries) -> None:
    file = stage.area.directory / "backup"
    command(stage, "db", "backup", str(file))
    script = subprocess.run([backups.tool("pg_restore"), "-f", "-", str(file)], capture_output=True, check=True).stdout
    assert b"COPY public.users" in script
    canaries.look("backup", "as SQL", script)


def command(stage: Stage, *words: str) -> str:
    """What `area WORDS` prints."""
    environment = os.environ | stage.area.environment
    line = [sys.executable, "-m", "area.cli", *words]
    done = subprocess.run(
        line, env=environment, capture_output=True, text=True, check=False, cwd=Path(stage.area.directory)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
