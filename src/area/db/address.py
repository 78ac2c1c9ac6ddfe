"""Where the database is: the configured one, or the embedded server, which runs as long as it is in use."""

from collections.abc import Iterator
from contextlib import contextmanager

from area.settings import Settings


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The database URL: the configured one, or else the embedded server, in use until the end of the block."""
    if settings.database_url:
        yield settings.database_url
        return
    from area.db import embedded

    with embedded.start(settings.data_dir) as server:
        yield server.dsn
