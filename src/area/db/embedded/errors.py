"""What the embedded server can't do."""


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL can't do what was asked; the message says why and what to do."""
