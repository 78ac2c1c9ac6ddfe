"""`area new-connector`: scaffold a connector."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from area.cli import console


def new(
    name: Annotated[str, typer.Argument(help="The slug: lower-case letters, digits and underscores.")],
    poll: Annotated[bool, typer.Option("--poll", help="An action that polls.")] = False,
    webhook: Annotated[bool, typer.Option("--webhook", help="An action with a signed webhook.")] = False,
    timer: Annotated[bool, typer.Option("--timer", help="An action on a schedule.")] = False,
    listen: Annotated[bool, typer.Option("--listen", help="An action that keeps a connection open.")] = False,
    reaction: Annotated[bool, typer.Option("--reaction", help="A reaction.")] = False,
    title: Annotated[
        str | None, typer.Option("--title", help="The service's name. Default: made from the slug.")
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--path", help="A new folder for a separate package, instead of AREA's own checkout."),
    ] = None,
) -> None:
    """Scaffold a new connector whose tests pass.

    Writes code, samples, page, logo and tests. Default kinds: --poll --reaction.
    """
    from area.cli import skeleton

    chosen = {"poll": poll, "webhook": webhook, "timer": timer, "listen": listen, "reaction": reaction}
    kinds = [kind for kind, selected in chosen.items() if selected] or ["poll", "reaction"]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise console.Failed(
            f"{name!r} is not a valid slug. Use lower-case letters, digits and underscores, such as my_service."
        )
    shown = " ".join((title or name.replace("_", " ").title()).split())
    if not shown or '"' in shown or "\\" in shown or not shown.isprintable():
        raise console.Failed("The title must contain letters, and no quotes or backslashes.")
    if path is None:
        folder, tests = _in_checkout(name), None
        package = f"area.connectors.{name}"
    else:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise console.Failed(f"{path} already exists. Choose a new folder.")
        package = f"area_{name}"
        folder, tests = path / "src" / package, path / "tests"
    contents = {}
    for file, text in skeleton.files(name, shown, kinds, package=package).items():
        contents[(tests if tests and file.startswith("test_") else folder) / file] = text
    if path is not None:
        contents[path / "pyproject.toml"] = skeleton.PYPROJECT.replace("SLUG", name).replace("TITLE", shown)
    for target, text in contents.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        console.echo(f"wrote {_short(target)}")
    if path is None:
        _write_reference(folder.parents[3])
    console.echo("", err=True)
    if path is not None:
        console.echo(f"Install it next to AREA:  pip install --editable '{path}[testing]'", err=True)
    console.echo(f"Run its tests:           pytest {_short(tests or folder)}", err=True)
    first = skeleton.PIECES[kinds[0]]
    console.echo(f"Once it calls the real API:  area try {name}.{first.name}", err=True)


def _write_reference(root: Path) -> None:
    """Write the reference of all components anew, if there is one, in a process that knows the new one."""
    if not (reference := root / "docs" / "reference").is_dir():
        return
    command = [sys.executable, "-m", "area.cli.reference", str(reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode:
        console.echo(f"The reference was not updated; run `make docs`. {done.stderr[-500:]}", err=True)
        return
    console.echo("updated docs/reference and docs/services.md")


def _in_checkout(name: str) -> Path:
    """The connector's folder in AREA's own checkout. Raises `Failed`."""
    from area import connectors

    root = Path(connectors.__path__[0])
    if not (root.parents[2] / "pyproject.toml").is_file():
        raise console.Failed("AREA is installed as a package. Create a separate package with --path FOLDER.")
    if (root / name).exists():
        raise console.Failed(f"There is already a connector {name!r} in {_short(root / name)}.")
    return root / name


def _short(path: Path) -> Path:
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
