"""Exit code for whether the database has an account: 0 if it has, `NOBODY` if not."""

NOBODY, UNKNOWN = 10, 11


async def anybody(dsn: str) -> int:
    """Check for an account. Errors are left for the processes that need the database to report."""
    import asyncpg

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
