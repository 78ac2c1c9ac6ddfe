"""Whether the database has an account: `python -m area.cli.anybody` ends with 0 when it has, with 1 when it has none."""

import asyncio
import os
import sys

import asyncpg


async def anybody(dsn: str) -> bool:
    """Whether there is an account."""
    connection = await asyncpg.connect(dsn.replace("postgresql+asyncpg://", "postgresql://"), timeout=10)
    try:
        return bool(await connection.fetchval("select exists (select from users)"))
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(anybody(os.environ["AREA_DATABASE_URL"])) else 1)
