"""The database's address in its two forms: libpq's, and SQLAlchemy's, which names the driver."""

DRIVER = "postgresql+asyncpg://"


def raw_dsn(dsn: str) -> str:
    """The address as libpq and asyncpg read it, from either form."""
    return f"postgresql://{dsn.removeprefix(DRIVER)}" if dsn.startswith(DRIVER) else dsn
