"""Browsers, at every door: which addresses they may be sent to, and the sentence that the next page shows once.

The sentence waits in a cookie as it is written in the code, with what is to be filled in, so that the page says it in its
reader's language.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

import orjson
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

SAID = "area_said"
KEPT_FOR = 30  # seconds


def wants_page(request: Request) -> bool:
    """Whether a browser asks, rather than a program."""
    return "text/html" in request.headers.get("accept", "")


def local(address: str | None, default: str = "/") -> str:
    """The address if it is a path of ours, else `default`: what comes in by `?next=` must not lead anywhere else."""
    if not address or not address.startswith("/") or address[1:2] in ("/", "\\") or not address.isprintable():
        return default
    parts = urlsplit(address)
    return default if parts.scheme or parts.netloc else address


def to(address: str, *, said: str = "", values: Mapping[str, str] | None = None) -> Response:
    """Send a browser to an address; if it is a page of ours, it shows what is `said` once."""
    response = RedirectResponse(address, 303)
    if said:
        say_once(response, said, values)
    return response


def say_once(response: Response, said: str, values: Mapping[str, str] | None = None) -> None:
    """Have the next page show a sentence."""
    cookie = quote(orjson.dumps([said, values or {}]))
    response.set_cookie(SAID, cookie, max_age=KEPT_FOR, path="/", samesite="lax", httponly=True)


def said(request: Request) -> tuple[str, dict[str, str]]:
    """The sentence that waits to be shown, and what is to be filled in; empty when there is none that can be read."""
    try:
        sentence, values = orjson.loads(unquote(request.cookies.get(SAID, "")))
    except ValueError:
        return "", {}
    if not isinstance(sentence, str) or not isinstance(values, dict):
        return "", {}
    return sentence, {str(name): str(value) for name, value in values.items()}


def filled(sentence: str, values: Mapping[str, str]) -> str:
    """The sentence with each `%(name)s` filled in. Not by `%`, which does whatever a cookie tells it to."""
    return re.sub(r"%\((\w+)\)s", lambda found: values.get(found[1], found[0]), sentence) if values else sentence
