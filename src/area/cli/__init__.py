"""The `area` command: each noun has its own module, and `commands` puts them together.

Nothing is imported here, since `supervise` and `launch` live as long as AREA runs and load as little as they can.
"""


def main() -> None:
    """Entry point of the `area` command."""
    from area.cli.commands import app

    app()
