"""The database's address in its two forms: libpq's, and SQLAlchemy's with the driver named."""

DRIVER = "postgresql+asyncpg://"


def raw_dsn(dsn: str) -> str:
    """The address as libpq and asyncpg read it, whichever form it has."""
    return f"postgresql://{dsn.removeprefix(DRIVER)}" if dsn.startswith(DRIVER) else dsn
