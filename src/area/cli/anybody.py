"""Whether the database has an account, as an exit code: 0 when it has, `NOBODY` when not."""

import asyncpg

NOBODY, UNKNOWN = 10, 11


async def anybody(dsn: str) -> int:
    """Look; what goes wrong here is for the processes that need the database to tell."""
    from area.db.away import is_away
    from area.db.dsn import raw_dsn

    try:
        connection = await asyncpg.connect(raw_dsn(dsn), timeout=10)
        try:
            return 0 if await connection.fetchval("select exists (select from users)") else NOBODY
        finally:
            await connection.close()
    except Exception as error:
        if not is_away(error) and not isinstance(error, asyncpg.PostgresError):
            raise
        return UNKNOWN
