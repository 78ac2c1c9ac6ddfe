"""All commands of `area`. Heavy modules are imported inside the commands that need them."""

import os
from typing import Annotated

import typer

from area import __version__
from area.cli import (
    areas,
    catalog,
    chains,
    connector,
    console,
    db,
    doctor,
    executions,
    keys,
    log,
    mail,
    tokens,
    trial,
    users,
)

app = typer.Typer(
    name="area",
    cls=console.Commands,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="AREA: when something happens in one service, do something in another.",
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"area {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of `area` itself."""


@app.command()
def up(
    workers: Annotated[int, typer.Option("--workers", help="Worker processes.", min=1, max=64)] = 1,
    port: Annotated[
        int | None, typer.Option("--port", help="The port to listen on, in place of AREA_PORT.", min=1, max=65535)
    ] = None,
) -> None:
    """Run everything on this machine: database, web and workers.

    The database is embedded unless AREA_DATABASE_URL is set.
    """
    from area.cli import supervise

    if port is not None:
        os.environ["AREA_PORT"] = str(port)  # its processes read it, too
    settings = console.configured()
    console.check_port(settings.host, settings.port, patience=supervise.PORT_WITHIN)
    supervise.become_supervisor(settings, workers)


@app.command()
def serve() -> None:
    """Run a web process: API, pages and webhooks."""
    from area.cli import roles

    roles.serve()


@app.command()
def worker() -> None:
    """Run a worker process.

    Workers watch sources and run reactions.
    """
    from area.cli import roles

    roles.worker()


app.add_typer(db.app, name="db")
app.add_typer(catalog.app, name="catalog")
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(areas.app, name="areas")
app.add_typer(executions.app, name="executions")
app.command("apply")(areas.apply)
app.command("export")(areas.export)
app.command("run")(log.run)
app.command("runs")(chains.runs)
app.command("replay")(log.replay)
app.command("tail")(log.tail)
app.command("try")(trial.try_)
app.add_typer(keys.app, name="keys")
app.add_typer(mail.app, name="mail")
app.command("new-connector")(connector.new)
app.command("doctor")(doctor.doctor)
