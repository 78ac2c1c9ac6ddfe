"""`area user`: manage accounts from the command line."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.accounts import UserView
    from area.accounts.invitations import InvitationView
    from area.db.session import Database
    from area.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Manage accounts.")

Login = Annotated[str, typer.Argument(help="The account: e-mail address, username or id.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command()
def create(
    email: Annotated[str, typer.Argument()],
    username: Annotated[str, typer.Argument()],
    admin: Annotated[
        bool, typer.Option("--admin", help="Make it an administrator, as the first account always is.")
    ] = False,
    password_stdin: FromStdin = False,
    as_json: console.AsJson = False,
) -> None:
    """Create an account, whatever the registration mode. Asks for the password."""
    from area import accounts

    async def work(database: "Database", _: "Settings") -> "UserView":
        async with database.transaction() as session:
            return await accounts.create(session, email=email, username=username, password=password, is_admin=admin)

    password = _password(from_stdin=password_stdin)
    user = console.with_database(work)
    admin_too = ", an administrator" if user.is_admin else ""
    _tell(user, f"Created account {user.username} ({user.email}), id {user.id}{admin_too}.", as_json=as_json)


@app.command("list")
def list_(
    q: Annotated[str | None, typer.Option("--search", help="Part of the e-mail address or username.")] = None,
    as_json: console.AsJson = False,
) -> None:
    """List accounts, newest first."""
    from area import accounts

    async def work(database: "Database", _: "Settings") -> "list[UserView]":
        users: list[UserView] = []
        async with database.sessions() as session:
            while page := await accounts.users(session, limit=500, before=users[-1].id if users else None, q=q):
                users += page
        return users

    users = console.with_database(work)
    if as_json:
        console.print_json(users)
        return
    columns = {
        "id": "ID",
        "username": "USERNAME",
        "email": "E-MAIL",
        "is_admin": "ADMIN",
        "is_active": "ACTIVE",
        "last_connection_at": "LAST LOG-IN",
    }
    console.table([user.model_dump() for user in users], columns, "No such account." if q else "No accounts yet.")


@app.command()
def set_admin(
    login: Login,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the administrator role.")] = False,
    as_json: console.AsJson = False,
) -> None:
    """Make an account an administrator."""
    user = _change(login, is_admin=not remove)
    now = "now" if user.is_admin else "no longer"
    _tell(user, f"{user.username} is {now} an administrator.", as_json=as_json)


@app.command()
def disable(login: Login, as_json: console.AsJson = False) -> None:
    """Disable an account.

    Its sessions end, and its API tokens and AREAs stop working.
    """
    user = _change(login, is_active=False)
    _tell(user, f"{user.username} is disabled.", as_json=as_json)


@app.command()
def enable(login: Login, as_json: console.AsJson = False) -> None:
    """Enable a disabled account."""
    user = _change(login, is_active=True)
    _tell(user, f"{user.username} is enabled.", as_json=as_json)


@app.command()
def delete(
    login: Login, yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False
) -> None:
    """Delete an account and everything in it: AREAs, connections, executions.

    A worker then revokes its tokens at the services, and ends its webhooks there.
    """
    from area import accounts

    async def find(database: "Database", _: "Settings") -> "UserView":
        async with database.sessions() as session:
            return await console.find_user(session, login)

    async def work(database: "Database", _: "Settings") -> "UserView":
        async with database.transaction() as session:
            return await accounts.delete_user(session, None, user.id)

    user = console.with_database(find)
    if not yes:
        typer.confirm(f"Delete {user.username} ({user.email}), id {user.id}, and everything in it?", abort=True)
    console.echo(f"Deleted account {console.with_database(work).username}.")


@app.command()
def reset_password(login: Login, password_stdin: FromStdin = False, as_json: console.AsJson = False) -> None:
    """Set a new password for an account. Asks for it.

    Ends the account's sessions and API tokens.
    """
    user = _change(login, password=_password(from_stdin=password_stdin))
    _tell(user, f"{user.username} has a new password; sessions and API tokens have ended.", as_json=as_json)


@app.command()
def setup_code() -> None:
    """Print the set-up code for the first account.

    It is needed if other machines can reach AREA.
    """
    from area import accounts
    from area.accounts import setup

    async def work(database: "Database", settings: "Settings") -> str:
        async with database.sessions() as session:
            if await accounts.anybody(session):
                raise console.Failed("No set-up code is needed: there is already an account.")
        code = setup.code(settings)
        if code is None:
            raise console.Failed("No set-up code is needed: only this machine can reach AREA.")
        return code

    typer.echo(console.with_database(work))


@app.command()
def reset_two_factor(login: Login) -> None:
    """Remove an account's second factor.

    Removes its app, passkeys and recovery codes.
    """
    from area.accounts import two_factor

    async def work(database: "Database", _: "Settings") -> "UserView":
        async with database.transaction() as session:
            user = await console.find_user(session, login)
            return await two_factor.reset(session, None, user.id)

    typer.echo(f"Removed the second factor of {console.with_database(work).username}.")


@app.command()
def invite(
    days: Annotated[int, typer.Option("--days", help="Days until it expires.", min=1, max=365)] = 7,
    as_json: console.AsJson = False,
) -> None:
    """Create an invitation for one registration."""
    from area.accounts import invitations

    async def work(database: "Database", _: "Settings") -> "tuple[str, InvitationView]":
        async with database.transaction() as session:
            return await invitations.invite(session, None, days=days)

    token, view = console.with_database(work)
    if as_json:
        console.print_json({"invitation": token, **view.model_dump()})
        return
    console.echo(token)
    console.echo(
        f"Valid for one registration until {view.expires_at:%Y-%m-%d %H:%M} UTC. You won't see it again.", err=True
    )


def _tell(user: "UserView", sentence: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json(user)
    else:
        console.echo(sentence)


def _change(
    login: str, *, is_admin: bool | None = None, is_active: bool | None = None, password: str | None = None
) -> "UserView":
    from area import accounts

    async def work(database: "Database", _: "Settings") -> "UserView":
        async with database.transaction() as session:
            user = await console.find_user(session, login)
            return await accounts.change_user(
                session, None, user.id, is_admin=is_admin, is_active=is_active, password=password
            )

    return console.with_database(work)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise console.Failed("There is no terminal to ask for the password. Use --password-stdin.")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password
