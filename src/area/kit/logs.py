"""Structured logs: one event per line with its ids, and never a secret."""

import logging
import random
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Literal

import structlog
from typing_extensions import override

SECRETS = ("password", "token", "secret", "authorization", "cookie", "credential", "api_key")
MASK = "***"


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask every value whose key names a secret, at any depth."""
    for key in event:
        event[key] = _hidden(key, event[key])
    return event


_request_id: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """A name for the request that this task answers, which its log lines show. It is no secret."""
    request_id = f"{random.getrandbits(64):016x}"
    _request_id.set(request_id)
    return request_id


def name_request(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the request's id to each line."""
    if request_id := _request_id.get():
        event.setdefault("request_id", request_id)
    return event


def _hidden(key: str, value: Any) -> Any:
    if any(word in key.lower() for word in SECRETS) and value not in (None, "") and not isinstance(value, bool | int):
        return MASK
    if isinstance(value, dict):
        return {inner: _hidden(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str | bytes):  # a header is often a pair
            return [value[0], _hidden(str(value[0]), value[1])]
        return [_hidden("", item) for item in value]
    return value


class Lines(structlog.PrintLogger):
    """Writes lines. A line that can't be written (disk full, pipe closed) is dropped without an error."""

    @override
    def msg(self, message: str) -> None:
        """Write one line."""
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure(form: Literal["auto", "json", "console"], level: str) -> None:
    """Configure the process's logs, including those of libraries. `auto`: for people on a terminal, else JSON."""
    people = form == "console" or (form == "auto" and sys.stderr.isatty())
    before: list[Any] = [
        name_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    # tracebacks without local variables, which may hold credentials
    after: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if people:
        colors, tracebacks = sys.stderr.isatty(), structlog.dev.plain_traceback
        after = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=tracebacks)]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: Lines(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
