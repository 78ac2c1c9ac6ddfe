"""`area token`: API tokens of accounts."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.accounts.sessions import TokenView
    from area.db.session import Database
    from area.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Manage API tokens.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as `backup script`.")],
    user: console.User = None,
    scope: Annotated[
        str,
        typer.Option("--scope", help="What it can do: read, run, manage or admin; each includes the ones before it."),
    ] = "manage",
    days: Annotated[int | None, typer.Option("--days", help="Days until it expires. Default: never.", min=1)] = None,
    as_json: console.AsJson = False,
) -> None:
    """Create an API token and print it. You won't see it again."""
    from area.accounts import sessions
    from area.accounts.views import SCOPES
    from area.kit.clock import now
    from area.kit.text import check_line

    chosen = next((known for known in SCOPES if known == scope), None)
    if chosen is None:
        raise console.Failed(f"There is no scope {scope!r}. Choose one of {', '.join(SCOPES)}.")
    try:
        check_line(name)
    except ValueError as error:
        raise console.Failed(str(error)) from error

    async def work(database: "Database", _: "Settings") -> "tuple[str, TokenView]":
        async with database.transaction() as session:
            owner = await console.find_user(session, user)
            expires = now() + timedelta(days=days) if days else None
            return await sessions.create_token(
                session, owner, name=name[:255], scope=chosen, expires_at=expires, address=None
            )

    token, view = console.with_database(work)
    if as_json:
        console.print_json({"token": token, **view.model_dump()})
    else:
        console.echo(token)


@app.command("list")
def list_(user: console.User = None, as_json: console.AsJson = False) -> None:
    """List an account's API tokens, without the tokens themselves."""
    from area.accounts import sessions

    async def work(database: "Database", _: "Settings") -> "list[TokenView]":
        async with database.sessions() as session:
            return await sessions.access(session, (await console.find_user(session, user)).id, "api", 0)

    tokens = console.with_database(work)
    if as_json:
        console.print_json(tokens)
        return
    columns = {
        "id": "ID",
        "name": "NAME",
        "scope": "SCOPE",
        "created_at": "CREATED",
        "last_used_at": "LAST USED",
        "expires_at": "EXPIRES",
    }
    console.table([token.model_dump() for token in tokens], columns, "No API tokens.")


@app.command()
def revoke(token_id: Annotated[int, typer.Argument(metavar="ID", min=1)], user: console.User = None) -> None:
    """Revoke an API token by its id."""
    from area.accounts import sessions

    async def work(database: "Database", _: "Settings") -> None:
        async with database.transaction() as session:
            await sessions.revoke(session, (await console.find_user(session, user)).id, "api", token_id)

    console.with_database(work)
    console.echo(f"Token {token_id} is revoked.")
