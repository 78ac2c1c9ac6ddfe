"""Compiled AREAs and open connections, kept in memory until PostgreSQL notifies that they changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import asyncpg
import orjson
import structlog
from pydantic import BaseModel

from area import connections
from area.areas import parameters
from area.areas.links import When
from area.areas.plans import Config, Plan, compile_config
from area.areas.triggers import WhenOff
from area.connections.vault import Ref
from area.db import contexts
from area.db.notify import Channel
from area.engine.access import Tokens
from area.engine.state import State
from area.kit import sentences
from area.kit.crypto import Undecryptable
from area.kit.problems import Invalid
from area.kit.remembered import Remembered
from area.kit.sentences import Sentence
from area.sdk import OAuth2

log = structlog.get_logger()

TTL = 60.0  # seconds
KNOWN = ("id", "user_id", "name", "active", "available", "version", "timezone", "failures", "when_off")
LARGEST = 50_000  # entries

LOAD = """
select a.id, a.user_id, a.name, a.is_active and u.is_active as active,
       ca.is_active and sa.is_active and cr.is_active and sr.is_active as available,
       v.version, v.config, coalesce(us.timezone, 'UTC') as timezone, coalesce(h.failures, 0) as failures,
       t.secret, coalesce(t.when_off, 'retry') as when_off,
       (select jsonb_object_agg(vr.component_id || ' ' || vr.name, vr.id) from variables vr
        where vr.kind = 'parameter'
           and vr.component_id in (a.component_action_id, a.component_reaction_id)) as variables,
       (select jsonb_agg(jsonb_build_array(l.area_id, l."when", l.for_each) order by l.position, l.area_id)
        from area_links l where l.follows = a.id) as followers,
       (with recursive up (id) as (
          select l.follows from area_links l where l.area_id = a.id
          union select l.follows from up join area_links l on l.area_id = up.id)
        select array_agg(id) from up) as leading,
       (select l.broken from area_links l where l.area_id = a.id limit 1) as unfit,
       a.component_action_id, a.component_reaction_id
from areas a
join users u on u.id = a.user_id
join components ca on ca.id = a.component_action_id join services sa on sa.id = ca.service_id
join components cr on cr.id = a.component_reaction_id join services sr on sr.id = cr.service_id
join lateral (select version, config from area_versions where area_id = a.id
              and ($2::int is null or version = $2) order by version desc limit 1) v on true
left join user_settings us on us.user_id = a.user_id
left join area_health h on h.area_id = a.id
left join triggers t on t.area_id = a.id
where a.id = any($1::int[])
"""
CONNECTION_STATE = """
select cs.status, cs.parked_until, c.updated_at from connections c join services s on s.id = c.service_id
left join connection_states cs on cs.user_id = c.user_id and cs.service_id = c.service_id
    and cs.connection_id = c.connection_id
where c.user_id = $1 and s.name = $2 and c.connection_id = $3
"""


@dataclass(frozen=True, slots=True)
class Follower:
    """An AREA that runs after this one."""

    area_id: int
    when: When
    for_each: str | None


@dataclass(slots=True, kw_only=True)
class Loaded:
    """An AREA as the engine knows it: `Runnable`, or `Broken`. `leading` are the AREAs that lead to it in its chain,
    and `unfit` says why it can't run since one of them changed.
    """

    id: int
    user_id: int
    name: str
    active: bool
    available: bool
    version: int
    timezone: str
    failures: int
    secret: str = ""
    when_off: WhenOff = "retry"
    followers: tuple[Follower, ...] = ()
    leading: tuple[int, ...] = ()
    unfit: Sentence | None = None


@dataclass(slots=True, kw_only=True)
class Runnable(Loaded):
    """An AREA with its configuration compiled."""

    plan: Plan
    repeatable: bool = field(init=False)  # its reaction may be called again when it is unknown whether it took effect
    reaction_ref: Ref = field(init=False)  # the connection that its reaction uses, if it needs one

    def __post_init__(self) -> None:
        reaction = self.plan.reaction
        self.repeatable = reaction.on_crash == "retry"
        self.reaction_ref = Ref(self.user_id, reaction.service.slug, self.plan.reaction_connection)


@dataclass(slots=True, kw_only=True)
class Broken(Loaded):
    """An AREA whose configuration can't be used, and why."""

    reason: str


@dataclass(slots=True)
class Connection:
    """A user's connection to a service: its credential (if it has one from a form), and until when its quota is used
    up.
    """

    credential: BaseModel | None
    status: Literal["works", "expired", "missing", "gone"]  # `gone`: removed, not just disconnected
    parked_until: datetime | None
    since: datetime | None = None  # when its credential or tokens were last written


@dataclass
class Cache:
    """One process's memory of AREAs, webhook addresses and connections."""

    state: State
    tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.state)
        self._areas: Remembered[int, Runnable | Broken | None] = Remembered(LARGEST, TTL)
        self._addresses: Remembered[str, int] = Remembered(LARGEST, TTL)
        self._connections: Remembered[Ref, Connection] = Remembered(LARGEST, TTL)

    async def area(self, area_id: int) -> Runnable | Broken | None:
        """One AREA; None if it was deleted."""
        return (await self.areas([area_id]))[area_id]

    async def areas(self, ids: Iterable[int]) -> Mapping[int, Runnable | Broken | None]:
        """Several AREAs, by id: one query loads those that aren't cached."""
        requested = set(ids)
        areas = self._areas.known(requested)
        missing = [area_id for area_id in requested if area_id not in areas]
        if missing:
            with self._areas.loading(missing) as keep:
                pool = await self.state.database.pool()
                loaded = {row["id"]: self._load(row) for row in await pool.fetch(LOAD, missing, None)}
                for area_id in missing:
                    areas[area_id] = loaded.get(area_id)
                    keep(area_id, areas[area_id])
        return areas

    async def area_as_it_was(self, area_id: int, version: int) -> Runnable | Broken | None:
        """An AREA with an earlier version of its configuration; None if there is no such version."""
        pool = await self.state.database.pool()
        row = await pool.fetchrow(LOAD, [area_id], version)
        return self._load(row) if row else None

    async def area_of_token(self, token_hash: str) -> int | None:
        """The id of the AREA with this webhook URL; None if no AREA has it."""
        known = self._addresses.get(token_hash)
        if known is not None:
            return known
        with self._addresses.loading([token_hash]) as keep:
            pool = await self.state.database.pool()
            area_id: int | None = await pool.fetchval("select area_id from triggers where token_hash = $1", token_hash)
            if area_id is not None:  # don't cache unknown ones: guessing must not fill the memory
                keep(token_hash, area_id)
        return area_id

    def known_connection(self, ref: Ref) -> Connection | None:
        """The connection, if it is cached."""
        return self._connections.get(ref)

    async def connection(self, user_id: int, slug: str, number: int = 0) -> Connection:
        """A user's connection to a service that needs one."""
        ref = Ref(user_id, slug, number)
        connection = self._connections.get(ref)
        if connection is None:
            with self._connections.loading([ref]) as keep:
                connection = await self._connection(ref)
                keep(ref, connection)
        return connection

    async def _connection(self, ref: Ref) -> Connection:
        service = self.state.registry.services[ref.slug]
        if not ref.number and not service.requires_auth:
            return Connection(None, "works", None)
        credential = None
        if isinstance(service.auth, OAuth2):
            connected = await self.tokens.current(ref, service) is not None
        else:
            async with self.state.database.sessions() as session:
                credential = await connections.credential(
                    session, self.state.keyring, self.state.registry, ref.user_id, ref.slug, number=ref.number
                )
            connected = credential is not None
        pool = await self.state.database.pool()
        row = await pool.fetchrow(CONNECTION_STATE, ref.user_id, service.name, ref.number)
        if not connected or row is None:
            return Connection(None, "gone" if row is None and ref.number else "missing", None)
        return Connection(credential, row["status"] or "works", row["parked_until"], row["updated_at"])

    def forget(self, channel: str, payload: str) -> None:
        """Forget what a notification says has changed."""
        match channel:
            case Channel.AREA_CHANGED:
                area_id = int(payload)
                self._areas.forget(area_id)
                self._addresses.forget_where(lambda of: of == area_id)
            case Channel.CONNECTION_CHANGED:
                ref = Ref.read(payload)
                self._connections.forget(ref)
                self.tokens.forget(ref)
            case _:
                self.forget_all()

    def forget_all(self) -> None:
        """Forget everything: the listening connection was lost, or the catalog changed."""
        self._areas.clear()
        self._addresses.clear()
        self._connections.clear()
        self.tokens.forget_all()

    def _load(self, row: asyncpg.Record) -> Runnable | Broken:
        known: dict[str, Any] = {name: row[name] for name in KNOWN}
        known["followers"] = tuple(Follower(*parts) for parts in orjson.loads(row["followers"] or "[]"))
        known["leading"] = tuple(row["leading"] or ())
        known["unfit"] = sentences.read(orjson.loads(row["unfit"] or "null"))
        try:
            if row["secret"]:
                known["secret"] = self.state.keyring.decrypt(row["secret"], contexts.hook(row["id"], "secret"))
            return Runnable(**known, plan=compile_config(self.state.registry, self._config(row)))
        except Invalid as error:
            return Broken(**known, reason=str(error))
        except Undecryptable as error:
            log.exception("area.undecryptable", area=row["id"])
            return Broken(**known, reason=str(error))

    def _config(self, row: asyncpg.Record) -> Config:
        """The stored configuration with its secrets decrypted."""
        ids = {row["component_action_id"]: "action", row["component_reaction_id"]: "reaction"}
        variables: dict[tuple[str, str], int] = {}
        for key, variable_id in orjson.loads(row["variables"] or "{}").items():
            component, _, name = key.partition(" ")
            variables[ids[int(component)], name] = variable_id
        stored = Config.from_json(orjson.loads(row["config"]))
        return parameters.open_secrets(self.state.keyring, row["id"], stored, variables)
