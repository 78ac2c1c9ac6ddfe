"""A logger that is loaded with its first line, for processes that live long and seldom have anything to log."""

from collections.abc import Callable
from typing import Any, Literal

_configure: Callable[[], None] | None = None


def configure(form: Literal["auto", "json", "console"], level: str) -> None:
    """As `logs.configure`, once there is a line to log."""

    def configure_now() -> None:
        from area.kit import logs

        logs.configure(form, level)

    global _configure  # noqa: PLW0603 - the process's, as structlog's own configuration is
    _configure = configure_now


def get_logger() -> Any:
    """Structlog's logger."""
    return _Late()


class _Late:
    def __getattr__(self, level: str) -> Any:
        import structlog

        global _configure
        if _configure is not None:
            configure_now, _configure = _configure, None
            configure_now()
        return getattr(structlog.get_logger(), level)
