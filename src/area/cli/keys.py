"""`area keys`: the secret key that encrypts credentials."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.engine.state import State

MOST_NAMED = 20  # secrets in a message

app = typer.Typer(no_args_is_help=True, help="Manage the secret key that encrypts credentials.")


@app.command()
def rotate(as_json: console.AsJson = False) -> None:
    """Re-encrypt everything with a new key.

    Without AREA_SECRET_KEY, this generates the new key, and AREA must be stopped. With it, put a new key in front of
    the old one, separated by a comma, restart AREA, and then run this. Exit code 1 if no key decrypts one of the
    secrets; the others are re-encrypted.
    """
    from area import rotation

    settings = console.configured(quiet=True)
    file = settings.data_dir / "secret_key" if settings.secret_key is None else None
    if file and file.exists():
        with console.database(settings) as dsn:
            console.refuse_while_running(dsn, "since running processes only know the old key")
        _put_first(file, secrets.token_urlsafe(48))

    async def work(state: "State") -> rotation.Rotated:
        async with state.database.transaction() as session:
            return await rotation.rotate(session, state.keyring, state.registry)

    rotated = console.with_state(work)
    count, unreadable = rotated.count, rotated.unreadable
    if as_json:
        console.print_json(rotated)
        raise typer.Exit(1 if unreadable else 0)
    console.echo(f"Re-encrypted {count} secret{'' if count == 1 else 's'}.")
    if unreadable:
        more = f" and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
        raise console.Failed(
            f"{len(unreadable)} secret{'' if len(unreadable) == 1 else 's'} can't be decrypted with any key:"
            f" {', '.join(unreadable[:MOST_NAMED])}{more}. Keep all keys. Add the missing key after the first one, in"
            f" {file or 'AREA_SECRET_KEY'}, and run this again; without it, those credentials must be entered again."
        )
    if file:
        console.echo(
            f"{file} now starts with the new key. The old key after it decrypts older backups; remove its line once"
            " you have deleted them."
        )
    else:
        console.echo(
            "Only older backups need the other keys in AREA_SECRET_KEY; remove them once you have deleted those."
        )


def _put_first(file: Path, key: str) -> None:
    """Insert the key before those in the file, atomically."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write("\n".join([key, *file.read_text().split()]) + "\n")
        output.flush()
        os.fsync(output.fileno())
    temporary.replace(file)
