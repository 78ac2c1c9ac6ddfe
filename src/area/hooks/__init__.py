"""POST /hooks/{token}: verify, pass to intake, respond after the commit. Plain ASGI, because it is the hot path.

POST /webhooks/{service}: verify, then poll the accounts it names immediately. POST /hints/{token}: the same for one
source with a subscription at the vendor.
"""

import time
from functools import cache
from typing import Any

import structlog

from area.db.away import is_away
from area.doors import body
from area.engine import metrics
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.engine.state import State
from area.hooks.answers import MAX_BODY, Answer, Receive, Scope, Send, later, problem, written
from area.hooks.areas import FLOOD_BURST, Areas
from area.hooks.refusals import Refusals
from area.hooks.vendors import Vendors
from area.kit import compression
from area.kit.logs import new_request_id
from area.kit.sentences import Number, Sentence

log = structlog.get_logger()

CLOSE = (b"connection", b"close")  # don't wait for the rest of the body

__all__ = ["FLOOD_BURST", "MAX_BODY", "Hooks"]


@cache
def _seconds(status: int) -> Any:
    return metrics.hook_seconds.labels(str(status))


class Hooks:
    """The ASGI application for `/hooks/…`, `/hints/…` and `/webhooks/…`."""

    def __init__(self, state: State, cache: Cache, intake: Intake) -> None:
        self.cache, self.intake = cache, intake
        self._areas = Areas(state, cache, intake)
        self._vendors = Vendors(state)
        self._refusals = Refusals()

    async def close(self) -> None:
        """Answer senders that wait for a result, because the server stops."""
        await self._areas.results.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if await self._refusals.repeat(scope, send):
            return
        begun = time.perf_counter()
        request_id = scope["area.request_id"] = new_request_id()
        try:
            result = await self._answer(scope, receive)
        except Exception as error:
            if is_away(error):
                log.warning("hook.unavailable", error=str(error), kind=type(error).__name__)
                sentence = Sentence("Not accepted: the database is unavailable. Try again in a moment.")
                result = problem(503, sentence, later(5))
            else:
                log.exception("hook.bug", path=scope["path"][:7])
                sentence = Sentence("Not accepted: AREA had an internal error. See the server's log.")
                result = problem(500, sentence)
        status, answer, headers = written(scope, result)
        _seconds(status).observe(time.perf_counter() - begun - scope.get("area.waited", 0.0))
        if status == 204:  # https://www.rfc-editor.org/rfc/rfc9110#section-8.6
            answer = b""
        head = [*headers] if status == 204 else [(b"content-length", str(len(answer)).encode()), *headers]
        if all(name != b"content-type" for name, _ in headers):
            head.append((b"content-type", b"application/json" if status < 400 else b"application/problem+json"))
        head.append((b"x-content-type-options", b"nosniff"))
        head.append((b"x-request-id", request_id.encode()))
        if scope["path"].startswith("/hooks/") and any(name == b"origin" for name, _ in scope["headers"]):
            head.append((b"access-control-allow-origin", b"*"))  # CORS: the sending page can read the response
        start = {"type": "http.response.start", "status": status, "headers": head}
        rest = {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer}
        if status == 429:
            self._refusals.keep(scope, start, rest)
        await send(start)
        await send(rest)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            if scope["path"].startswith("/webhooks/"):
                return await self._vendors.of_service(scope, receive)
            if scope["path"].startswith("/hints/"):
                return await self._vendors.of_source(scope, receive)
            return await self._areas.answer(scope, receive)
        except body.TooLarge as error:
            sentence = Sentence("The body is too large. At most %(most)s bytes are allowed.", most=Number(error.limit))
            return problem(413, sentence, CLOSE)
        except body.TooSlow:
            return problem(408, Sentence("The body didn't arrive in time."), CLOSE)
        except body.Crowded as error:
            headers = (later(2), CLOSE) if error.reading else (later(2),)
            return problem(429, Sentence("Too many requests at the same time."), *headers)
        except body.CutOff:
            return problem(400, Sentence("The connection was closed before the end of the body."))
        except compression.UnknownEncodingError:
            sentence = Sentence(
                "This Content-Encoding isn't supported. Use one of: %(encodings)s.",
                encodings=", ".join(compression.ENCODINGS),
            )
            # https://www.rfc-editor.org/rfc/rfc9110#section-15.5.16
            return problem(415, sentence, (b"accept-encoding", ", ".join(compression.ENCODINGS).encode()))
        except compression.TooLargeError:
            return problem(
                413,
                Sentence(
                    "The body is too large once decompressed. At most %(most)s bytes are allowed.",
                    most=Number(MAX_BODY),
                ),
            )
        except compression.BrokenError:
            return problem(400, Sentence("The body isn't compressed as its Content-Encoding says."))
