"""`area db`: the database's schema, address, backup."""

from pathlib import Path
from typing import Annotated

import typer

from area.cli import console

app = typer.Typer(no_args_is_help=True, help="The database: upgrade, address, backup, restore.")


@app.command()
def upgrade() -> None:
    """Bring the database's schema up to date; `area up`, `serve` and `worker` do it by themselves."""
    import asyncio

    from area.db import schema

    with console.database(console.configured()) as dsn:
        asyncio.run(schema.ensure(dsn))
    console.echo(f"The database is at {schema.head()}.")


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
