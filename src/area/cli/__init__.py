"""The `area` command. Heavy modules are imported by the commands that need them."""

import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from area.kit import logs
from area.settings import Settings, settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)


def configured() -> Settings:
    """The settings, with logs set up; a wrong one ends the command with a sentence."""
    try:
        found = settings()
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            name = "AREA_" + "_".join(str(part) for part in one["loc"]).upper()
            typer.echo(f"{name}: {one['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from error
    logs.configure(found.log_format, found.log_level)
    return found


@app.command()
def up(workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1) -> None:
    """Run everything on this machine: the database (embedded, unless AREA_DATABASE_URL is set), web and workers."""
    from area.cli.supervise import up as run_up

    raise typer.Exit(run_up(configured(), workers=workers, say=lambda url: typer.echo(f"AREA runs at {url}")))


@app.command()
def serve() -> None:
    """Run a web process: API, pages and webhooks."""
    from area import app as root

    found = configured()
    with root.database(found) as dsn:
        root.run(lambda stop: root.serve(found, dsn, stop))


@app.command()
def worker() -> None:
    """Run a worker process: it watches sources and runs reactions."""
    from area import app as root

    found = configured()
    with root.database(found) as dsn:
        root.run(lambda stop: root.work(found, dsn, stop))


db = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(db, name="db")


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database's schema up to date."""
    import asyncio

    from area import app as root
    from area.db import schema

    with root.database(configured()) as dsn:
        asyncio.run(schema.ensure(dsn))
    typer.echo(f"The database is at {schema.head()}.")


def main() -> None:
    """Entry point of the `area` command."""
    app()


if __name__ == "__main__":
    sys.exit(main())
