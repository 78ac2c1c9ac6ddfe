"""`area db`: the database's schema, address, backup."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The database: upgrade, downgrade, address, backup, restore.")


@app.command()
def upgrade() -> None:
    """Bring the database's schema up to date; `area up`, `serve` and `worker` do it by themselves."""
    import asyncio

    from area.db import schema

    with console.database(console.configured()) as dsn:
        current = asyncio.run(schema.current(dsn))
        for revision in schema.alone(current):
            console.echo(
                f"{revision}: the older AREA and this one can't run side by side. Stop the older one first.", err=True
            )
        asyncio.run(schema.ensure(dsn))
    console.echo(f"The database is at {schema.head()}.")


@app.command()
def downgrade(
    revision: Annotated[
        str, typer.Argument(help="The revision that the older AREA knows; it names it when it refuses to start.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Take the database back to an earlier revision, before you install an older AREA.

    Stop AREA and make a backup first: what only later revisions know is lost.
    """
    import asyncio

    from area.db import schema

    settings = console.configured(quiet=True)
    with console.database(settings) as dsn:
        current = asyncio.run(schema.current(dsn))
        earlier = [one for one in schema.revisions() if current and one < current]
        if revision not in earlier:
            places = f"one of {earlier[0]} to {earlier[-1]}" if earlier else "none: there is no earlier one"
            raise console.Failed(f"The database is at {current or 'no revision'}. Give {places}.")
        console.refuse_while_running(dsn, "since it can't work with the older schema")
        if not yes:
            question = f"Go back from {current} to {revision}? What only later revisions know is lost."
            typer.confirm(question, abort=True)
        left = asyncio.run(_downgrade(settings, dsn, revision))
    if left:
        console.echo(f"{left} executions keep parameters that no key opens; the older AREA can't use them.", err=True)
    console.echo(f"The database is at {revision}. Install the AREA that knows it: this one would upgrade it again.")


async def _downgrade(settings: "Settings", dsn: str, revision: str) -> int:
    from area import sealing
    from area.db import schema
    from area.db.session import Database
    from area.kit.crypto import Keyring

    left = 0
    if revision < sealing.GIVEN_SINCE <= (await schema.current(dsn) or ""):
        database = Database(dsn)
        try:
            async with database.transaction() as session:
                left = await sealing.unseal_given(session, Keyring(settings.secret_keys()))
        finally:
            await database.close()
    await schema.downgrade(dsn, revision)
    return left


@app.command()
def url() -> None:
    """Print the database's address, for psql and the like; the embedded one answers while AREA runs."""
    settings = console.configured(quiet=True)
    if settings.database_url:
        console.echo(settings.database_url)
        return
    from area.db import embedded

    with embedded.start(settings.data_dir) as server:
        console.echo(server.dsn)
        adopted = server.adopted
    if not adopted:
        console.echo("It answers while AREA runs (`area up`), and not now.", err=True)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="The file to write; one that is there is replaced.")]) -> None:
    """Write the whole database into a file, while AREA runs or not. Keep it with the secret key, which is not in it."""
    from area.db import backup as backups

    settings = console.configured(quiet=True)
    with console.database(settings) as dsn:
        backups.backup(dsn, file)
    console.echo(f"Wrote {file}, {file.stat().st_size:,} bytes.")
    if settings.secret_key is None:
        console.echo(f"Keep a copy of {settings.data_dir / 'secret_key'} as well: it opens what is encrypted in there.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `area db backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the database holds.")] = False,
) -> None:
    """Put a backup into the database, all of it or nothing. Stop AREA before."""
    import asyncio

    from area.db import backup as backups
    from area.db import schema

    with console.database(console.configured(quiet=True)) as dsn:
        backups.restore(dsn, file, force=force)
        revision = asyncio.run(schema.current(dsn))
    console.echo(f"Restored {file}; the database is at {revision}.")
