"""Rejections of overloaded webhook URLs, repeated for a moment: rejecting thousands a second must be cheap."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from area.engine import metrics
from area.hooks.answers import Scope, Send

REPEATED_FOR = 0.05  # seconds
CHANGING = (b"accept-language", b"origin")  # request headers that change the response

Message = MutableMapping[str, Any]


class Refusals:
    """The last 429 of each user's webhook address.

    Not of `/webhooks/…` and `/hints/…`, which the events of many users come to: one's refusal is not the others'.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[Message, Message]] = {}
        self._repeated = 0

    async def repeat(self, scope: Scope, send: Send) -> bool:
        """Answer as just before. False if there is nothing to repeat."""
        refusal = self._last.get(scope["path"])
        if refusal is None or not _is_plain(scope):
            return False
        self._repeated += 1
        start, body = refusal
        await send(start)
        await send(body)
        return True

    def keep(self, scope: Scope, start: Message, body: Message) -> None:
        """Repeat this refusal for the next `REPEATED_FOR` seconds."""
        path = scope["path"]
        if path.startswith("/hooks/") and path not in self._last and _is_plain(scope):
            self._last[path] = start, body
            asyncio.get_running_loop().call_later(REPEATED_FOR, self._forget, path)

    def _forget(self, path: str) -> None:
        del self._last[path]
        metrics.hook_refusals.inc(self._repeated)
        self._repeated = 0


def _is_plain(scope: Scope) -> bool:
    return scope["method"] == "POST" and all(name not in CHANGING for name, _ in scope["headers"])
