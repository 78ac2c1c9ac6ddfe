"""What a process has open, created once at its start and passed to every door and loop."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from area.areas import Scope
from area.db.session import Database
from area.engine import metrics
from area.engine.load import Load
from area.kit import fair
from area.kit.crypto import Keyring
from area.kit.http import Client
from area.kit.net import Guard
from area.registry import Registry, registry
from area.settings import Settings

CLOSE_WITHIN = 1.0  # seconds


@dataclass
class State:
    """`instance` is this installation's id; it makes idempotency keys globally unique."""

    settings: Settings
    database: Database
    keyring: Keyring
    guard: Guard
    client: Client
    registry: Registry
    instance: str = ""
    load: Load = field(default_factory=Load)
    syncing: asyncio.Task[None] | None = None  # syncs the catalog once the database can be written

    @classmethod
    async def open(cls, settings: Settings, dsn: str) -> "State":
        """Connect, and read the instance id. The schema must be up to date."""
        guard = settings.guard()
        client = Client(guard)
        fair.observe = metrics.count_pool
        client.observe = metrics.count_upstream
        state = cls(
            settings=settings,
            database=Database(dsn),
            keyring=Keyring(settings.secret_keys()),
            guard=guard,
            client=client,
            registry=registry(),
        )
        pool = await state.database.pool()
        state.instance = await pool.fetchval("select value from meta where key = 'instance'")
        return state

    @property
    def scope(self) -> Scope:
        """What the functions of `areas` and `runs` need."""
        return Scope(self.registry, self.keyring, self.settings.base_url, self.settings.max_areas)

    async def close(self) -> None:
        """Close everything. Queries on a database that is away are abandoned."""
        if self.syncing is not None:
            self.syncing.cancel()
            await asyncio.gather(self.syncing, return_exceptions=True)
        await self.client.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.database.close()
