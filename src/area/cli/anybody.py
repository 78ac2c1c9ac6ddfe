"""Whether the database has an account: `python -m area.cli.anybody` ends with 0 when it has, with `NOBODY` when not."""

import asyncio
import os
import sys

import asyncpg

NOBODY, UNKNOWN = 10, 11


async def anybody(dsn: str) -> int:
    """Look; what goes wrong here is for the processes that need the database to tell."""
    try:
        connection = await asyncpg.connect(dsn.replace("postgresql+asyncpg://", "postgresql://"), timeout=10)
        try:
            return 0 if await connection.fetchval("select exists (select from users)") else NOBODY
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return UNKNOWN


if __name__ == "__main__":
    sys.exit(asyncio.run(anybody(os.environ["AREA_DATABASE_URL"])))
