"""The outermost middleware: request ids, response headers, and unexpected exceptions."""

from collections.abc import Callable, Mapping

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from area.db.away import is_away
from area.kit.logs import new_request_id
from area.kit.sentences import Sentence

log = structlog.get_logger(__name__)

Respond = Callable[[Request, int, Sentence, dict[str, str] | None], Response]


class Edge:
    """ASGI middleware. `respond` makes a response from a status, a sentence and headers."""

    def __init__(self, app: ASGIApp, *, respond: Respond, headers: Mapping[str, str]) -> None:
        self.app = app
        self._respond = respond
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["area.request_id"] = new_request_id()
        started = False

        async def named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, named)
        except Exception as error:
            away = is_away(error)
            if away:
                log.warning("request.database_away", path=scope["path"], error=str(error))
            else:
                log.exception("request.broke", method=scope["method"], path=scope["path"])
            if started:
                raise
            request = Request(scope)
            if away:
                sentence = Sentence("The database is unavailable. Try again soon.")
                response = self._respond(request, 503, sentence, {"Retry-After": "5"})
            else:
                sentence = Sentence(
                    "AREA had an internal error. See %(request_id)s in the server's log.",
                    request_id=request_id,
                )
                response = self._respond(request, 500, sentence, None)
            await response(scope, receive, named)


_SENTENCES = {
    404: Sentence("Nothing exists at this address."),
    405: Sentence("This address doesn't support this method."),
    400: Sentence("Malformed request."),
}


def sentence_of(error: HTTPException) -> Sentence:
    """The sentence for an error that Starlette or FastAPI raised themselves."""
    return _SENTENCES.get(error.status_code) or Sentence(str(error.detail))
