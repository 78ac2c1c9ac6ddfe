"""What a web process and a worker process do, without the other commands: a role that imported those would copy the
pages that it shares with the launcher.
"""

from area import app
from area.cli import console


def serve() -> None:
    """Run a web process: API, pages and webhooks."""
    settings = console.configured()
    console.check_port(settings.host, settings.port)
    with console.database(settings) as dsn:
        app.run(lambda stop: app.serve(settings, dsn, stop))


def worker() -> None:
    """Run a worker process."""
    settings = console.configured()
    with console.database(settings) as dsn:
        app.run(lambda stop: app.work(settings, dsn, stop))
