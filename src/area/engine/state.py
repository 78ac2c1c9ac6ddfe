"""What one process has open, made once at its start and handed to every door and loop."""

from dataclasses import dataclass

from area.db.session import Database
from area.kit.crypto import Keyring
from area.kit.http import Client
from area.kit.net import Guard
from area.registry import Registry, registry
from area.settings import Settings


@dataclass
class State:
    """`instance` is this installation's id; it makes idempotency keys unique in the world."""

    settings: Settings
    database: Database
    keyring: Keyring
    guard: Guard
    client: Client
    registry: Registry
    instance: str = ""

    @classmethod
    async def open(cls, settings: Settings, dsn: str) -> "State":
        """Connect, and read the instance id. The schema must be in place."""
        guard = settings.guard()
        state = cls(
            settings=settings,
            database=Database(dsn),
            keyring=Keyring(settings.secret_keys()),
            guard=guard,
            client=Client(guard),
            registry=registry(),
        )
        pool = await state.database.pool()
        state.instance = await pool.fetchval("select value from meta where key = 'instance'")
        return state

    async def close(self) -> None:
        """Close what is open."""
        await self.client.close()
        await self.database.close()
