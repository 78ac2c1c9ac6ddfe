"""Browsers, at every door: which addresses they may be sent to, and the sentence that the next page shows once.

The sentence waits in a cookie as it is written in the code, with what is to be filled in, so that the page says it in its
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
    """Whether a browser asks, rather than a program."""
    return "text/html" in request.headers.get("accept", "")


def language_of(request: Request) -> str:
    """The language of who asks: the one that the user has chosen, else what `Accept-Language` prefers, else English."""
    chosen: str | None = getattr(request.state, "language", None)
    return language.choose(chosen, request.headers.get("accept-language", ""))


def local(address: str | None, default: str = "/") -> str:
    """The address if it is a path of ours, else `default`: what comes in by `?next=` must not lead anywhere else."""
    if not address or not address.startswith("/") or address[1:2] in ("/", "\\") or not address.isprintable():
        return default
    parts = urlsplit(address)
    return default if parts.scheme or parts.netloc else address


def to(address: str, *, said: str = "") -> Response:
    """Send a browser to an address; if it is a page of ours, it shows what is `said` once."""
    response = RedirectResponse(address, 303)
    if said:
        say_once(response, said)
    return response


def say_once(response: Response, said: str) -> None:
    """Have the next page show a sentence."""
    cookie = quote(orjson.dumps(Sentence(said).dumped()))
    response.set_cookie(SAID, cookie, max_age=KEPT_FOR, path="/", samesite="lax", httponly=True)


def said(request: Request) -> Sentence | None:
    """The sentence that waits to be shown; None when there is none that can be read."""
    try:
        return read(orjson.loads(unquote(request.cookies.get(SAID, ""))))
    except ValueError:
        return None
