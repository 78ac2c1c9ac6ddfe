"""Browsers: safe redirects, and flash messages.

A flash message waits in a cookie as the untranslated sentence and its parameters, so that the page shows it in the
reader's language.
"""

from urllib.parse import quote, unquote, urlsplit

import orjson
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from area.kit import language
from area.kit.sentences import Sentence, read

SAID = "area_said"
KEPT_FOR = 30  # seconds


def wants_page(request: Request) -> bool:
    """Whether a browser is asking, rather than a program."""
    return "text/html" in request.headers.get("accept", "")


def language_of(request: Request) -> str:
    """The client's language: the user's choice, else what `Accept-Language` prefers, else English."""
    chosen: str | None = getattr(request.state, "language", None)
    return language.choose(chosen, request.headers.get("accept-language", ""))


def local(address: str | None, default: str = "/") -> str:
    """The URL if it is one of our paths, else `default`: `?next=` must not lead anywhere else."""
    if not address or not address.startswith("/") or address[1:2] in ("/", "\\") or not address.isprintable():
        return default
    parts = urlsplit(address)
    return default if parts.scheme or parts.netloc else address


def to(address: str, *, said: str = "") -> Response:
    """Redirect a browser. If the target is one of our pages, it shows `said` once."""
    response = RedirectResponse(address, 303)
    if said:
        say_once(response, said)
    return response


def say_once(response: Response, sentence: str) -> None:
    """Set a flash message for the next page."""
    cookie = quote(orjson.dumps(Sentence(sentence).dumped()))
    response.set_cookie(SAID, cookie, max_age=KEPT_FOR, path="/", samesite="lax", httponly=True)


def said(request: Request) -> Sentence | None:
    """The pending flash message, or None."""
    try:
        return read(orjson.loads(unquote(request.cookies.get(SAID, ""))))
    except ValueError:
        return None
