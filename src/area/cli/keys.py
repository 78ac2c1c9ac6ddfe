"""`area keys`: the secret key that encrypts credentials."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.engine.state import State

app = typer.Typer(no_args_is_help=True, help="The secret key that encrypts credentials.")

OTHERS = (
    "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'"
    " and pid <> pg_backend_pid()"
)


@app.command()
def rotate() -> None:
    """Encrypt everything with a new key.

    Without AREA_SECRET_KEY the new key is made here, and AREA must be stopped. With it, put a new key before the old one,
    separated by a comma, restart AREA, and then run this: it encrypts with the first.
    """
    from area import rotation

    settings = console.configured(quiet=True)
    file = settings.data_dir / "secret_key" if settings.secret_key is None else None
    if file and file.exists():
        _refuse_while_running()
        _put_first(file, secrets.token_urlsafe(48))

    async def work(state: "State") -> int:
        async with state.database.transaction() as session:
            return await rotation.rotate(session, state.keyring, state.registry)

    count = console.with_state(work)
    console.echo(f"{count} secret{'' if count == 1 else 's'} encrypted anew.")
    if file:
        console.echo(
            f"{file} holds the new key first. The old one after it opens older backups; remove its line when none is left."
        )
    else:
        console.echo(
            "The keys after the first in AREA_SECRET_KEY open older backups only; remove them when none is left."
        )


def _refuse_while_running() -> None:
    """Running processes know the old key only, and could not read what is encrypted with the new one."""
    import asyncio

    import asyncpg

    async def others(dsn: str) -> int:
        connection = await asyncpg.connect(dsn)
        try:
            return int(await connection.fetchval(OTHERS))
        finally:
            await connection.close()

    with console.database(console.configured(quiet=True)) as dsn:
        count = asyncio.run(others(dsn))
    if count:
        raise console.Failed(
            f"The database has {count} other connection{'' if count == 1 else 's'}: stop AREA first, since what runs knows"
            " only the old key."
        )


def _put_first(file: Path, key: str) -> None:
    """Write the key before those in the file, complete or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write("\n".join([key, *file.read_text().split()]) + "\n")
        output.flush()
        os.fsync(output.fileno())
    temporary.replace(file)
