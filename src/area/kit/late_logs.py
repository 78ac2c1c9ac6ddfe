"""The logger of a process that has to stay small, and seldom has anything to log.

After `configure`, each line is written by a child that loads structlog for it, which takes 8 MB and a tenth of a
second; the process must not have threads. Until then, lines go to structlog as it is configured.
"""

import os
import sys
from typing import Any, Literal, NamedTuple


class _Form(NamedTuple):
    form: Literal["auto", "json", "console"]
    level: str


_small: _Form | None = None


def configure(form: Literal["auto", "json", "console"], level: str) -> None:
    """Keep this process small. The parameters are those of `logs.configure`."""
    global _small  # noqa: PLW0603 - the process's, as structlog's own configuration is
    _small = _Form(form, level)


def get_logger() -> Any:
    """Structlog's logger."""
    return _Late()


class _Late:
    def __getattr__(self, level: str) -> Any:
        def log(event: str, **values: Any) -> None:
            if _small is None:
                _log(level, event, values)
                return
            sys.stderr.flush()
            if (child := os.fork()) == 0:
                try:
                    from area.kit import logs

                    logs.configure(*_small)
                    _log(level, event, values)
                except Exception:  # noqa: BLE001 - shown, and the child ends here whatever happens
                    sys.excepthook(*sys.exc_info())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)

        return log


def _log(level: str, event: str, values: dict[str, Any]) -> None:
    import structlog

    getattr(structlog.get_logger(), level)(event, **values)
