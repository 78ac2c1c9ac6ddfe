"""Errors as pages, or as the sentence that htmx shows in place."""

from contextlib import suppress
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from area.doors import browser
from area.doors.edge import sentence_of
from area.kit.problems import Misdirected, Problem, TooMany, TwoFactorSetupRequired, Unauthenticated
from area.kit.sentences import Sentence
from area.web.parts.pages import SignInNeeded, environment, page_above, posted_from, visit


def install(app: FastAPI) -> None:
    """Turn every exception into a response."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def respond(request: Request, status: int, sentence: Sentence, headers: dict[str, str] | None = None) -> Response:
    """Error page; only the sentence for htmx requests."""
    lang = browser.language_of(request)
    template = "_problem.html" if "hx-request" in request.headers else "problem.html"
    identity, unread = getattr(request.state, "visitor", (None, None))
    html = environment(lang).get_template(template).render(
        page=None,
        me=identity.user if identity else None,
        path=request.url.path,
        settings=request.app.state.area.settings,
        unread=unread or 0,
        nav="",
        lang=lang,
        flash="",
        posted=posted_from(request),
        here="/",
        status=status,
        sentence=sentence.translated(lang),
        request_id=request.scope.get("area.request_id", ""),
    )  # fmt: skip
    return HTMLResponse(html, status, headers)


def misdirected(request: Request, problem: Misdirected) -> Response:
    """Page for an unknown host name, with inline style since no asset is served there."""
    lang = browser.language_of(request)
    sentence = problem.message.translated(lang)
    html = environment(lang).get_template("misdirected.html").render(lang=lang, sentence=sentence)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return HTMLResponse(html, problem.status, {"Content-Security-Policy": policy})


def _sign_in(request: Request, _error: Exception) -> Response:
    if "hx-request" in request.headers:
        return respond(
            request, 401, Sentence("Your session has ended. What you typed is still here: sign in, and try again.")
        )
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(here)}" if request.method == "GET" and here != "/" else ""
    return RedirectResponse(f"/sign-in{back}", 303)


def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    if isinstance(error, Unauthenticated):
        return _sign_in(request, error)
    if isinstance(error, TwoFactorSetupRequired):
        return _set_up(request, error)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooMany) else None
    return respond(request, error.status, error.message, headers)


def _validation(request: Request, error: Exception) -> Response:
    """A malformed path such as `/areas/abc`."""
    if not isinstance(error, RequestValidationError):
        raise error
    return respond(request, 404, Sentence("Nothing exists at this address."))


def _set_up(request: Request, error: Problem) -> Response:
    if "hx-request" in request.headers:
        return respond(request, 403, error.message)
    return RedirectResponse("/profile/two-factor", 303)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405 and request.method == "GET" and "hx-request" not in request.headers:
        return RedirectResponse(page_above(request.app, request.url.path), 303)  # a form's address, typed or reloaded
    if not hasattr(request.state, "visitor"):
        with suppress(Problem):  # whoever is signed in keeps the navigation
            await visit(request, request.app.state.area)
    return respond(request, error.status_code, sentence_of(error), dict(error.headers or {}))
