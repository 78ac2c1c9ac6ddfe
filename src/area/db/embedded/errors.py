"""Errors of the embedded server."""


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL can't be used. The message says why and what to do."""
