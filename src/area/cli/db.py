"""`area db`: schema, URL, backup and restore."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Manage the database.")


@app.command()
def upgrade() -> None:
    """Upgrade the database schema.

    `area up`, `serve` and `worker` do this when they start.
    """
    import asyncio

    from area.db import schema

    with console.database(console.configured()) as dsn:
        current = asyncio.run(schema.current(dsn))
        for revision in schema.alone(current):
            console.echo(
                f"{revision}: this version can't run alongside the older one. Stop the older one first.", err=True
            )
        asyncio.run(schema.ensure(dsn))
    console.echo(f"The database is at {schema.head()}.")


@app.command()
def downgrade(
    revision: Annotated[
        str, typer.Argument(help="The revision of the older version, which it prints when it refuses to start.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Downgrade the database to an earlier revision. Do this before you install an older version of AREA. Stop AREA and
    make a backup first: data that only later revisions can store is lost.
    """
    import asyncio

    from area.db import schema

    settings = console.configured(quiet=True)
    with console.database(settings) as dsn:
        current = asyncio.run(schema.current(dsn))
        earlier = [known for known in schema.revisions() if current and known < current]
        if revision not in earlier:
            places = f"one of {earlier[0]} to {earlier[-1]}" if earlier else "none: there is no earlier one"
            raise console.Failed(f"The database is at {current or 'no revision'}. Choose {places}.")
        console.refuse_while_running(dsn, "since it can't run on the older schema")
        if not yes:
            question = f"Go back from {current} to {revision}? Data that only later revisions know is lost."
            typer.confirm(question, abort=True)
        left = asyncio.run(_downgrade(settings, dsn, revision))
    if left:
        console.echo(
            f"{left} executions have parameters that no key can decrypt; the older version can't use them.", err=True
        )
    console.echo(f"The database is at {revision}. Now install the older version: this one would upgrade it again.")


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
    """Print the database URL, for psql and similar tools.

    The embedded database only runs while AREA runs.
    """
    settings = console.configured(quiet=True)
    if settings.database_url:
        console.echo(settings.database_url)
        return
    from area.db import embedded

    with embedded.start(settings.data_dir) as server:
        console.echo(server.dsn)
        adopted = server.adopted
    if not adopted:
        console.echo("It isn't running now. Start it with `area up`.", err=True)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="The file to write. An existing file is replaced.")]) -> None:
    """Back up the whole database to a file.

    AREA can keep running. Keep the backup together with the secret key, which is not in it.
    """
    from area.db import backup as backups

    settings = console.configured(quiet=True)
    with console.database(settings) as dsn:
        backups.backup(dsn, file)
    console.echo(f"Wrote {file}, {file.stat().st_size:,} bytes.")
    if settings.secret_key is None:
        console.echo(
            f"Keep a copy of {settings.data_dir / 'secret_key'} as well: it decrypts the credentials in the backup."
        )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file written by `area db backup`.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace the database's current contents. AREA must be stopped with this option too."
        ),
    ] = False,
) -> None:
    """Restore a backup, all of it or nothing.

    Stop AREA first, on all machines: this refuses while anything else uses the database.
    """
    import asyncio

    from area.db import backup as backups
    from area.db import schema

    with console.database(console.configured(quiet=True)) as dsn:
        console.refuse_while_running(dsn, "since it holds locks and data of the database that you replace")
        backups.restore(dsn, file, force=force)
        revision = asyncio.run(schema.current(dsn))
    console.echo(f"Restored {file}; the database is at {revision}.")
