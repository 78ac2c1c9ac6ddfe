"""Error responses as RFC 9457 problem details."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from area.doors import browser
from area.doors.deps import PRINTABLE
from area.doors.edge import Edge, sentence_of
from area.kit.problems import (
    FieldError,
    Invalid,
    MalformedRequest,
    Problem,
    SecondFactorRequired,
    TooLarge,
    TooMany,
    Unauthenticated,
)
from area.kit.refusals import refused
from area.kit.sentences import Sentence, gettext

MEDIA_TYPE = "application/problem+json"
_Model = TypeVar("_Model", bound=BaseModel)
HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


class FieldProblem(BaseModel):
    """One invalid field."""

    field: str = Field(examples=["reaction.parameters.url"])
    message: str


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="URL that identifies this kind of problem", examples=["/api/docs#not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="Explanation for the user", examples=["There is no AREA 7."])
    code: str = Field(description="Machine-readable code", examples=["not-found"])
    request_id: str = Field(description="Request id, as in the log")
    errors: list[FieldProblem] | None = Field(None, description="Errors by field")
    retry_after: int | None = Field(None, description="Seconds to wait before retrying")
    ticket: str | None = Field(None, description="Ticket for `POST /api/auth/second-factor`")
    methods: list[str] | None = Field(None, description="Accepted methods: app, passkey, recovery_code")
    passkey: dict[str, Any] | None = Field(None, description="Passkey challenge")


# where the phrase of the status depends on Python's version, or isn't the code of our own problem
_CODES = {401: Unauthenticated.code, 413: TooLarge.code, 429: TooMany.code}

_DESCRIBED = {
    400: Sentence("Malformed request."),
    401: "Not logged in, or the session has ended.",
    403: "Not allowed.",
    404: "Not found, or it belongs to another user.",
    409: "Conflicts with the current state.",
    410: "No longer available.",
    412: "Changed in the meantime: `If-Match` or `version` is no longer current.",
    413: "More than 2 MB.",
    415: "The body is not JSON.",
    422: "Some fields are invalid.",
    429: "Too many requests. `Retry-After` says when to try again.",
    503: "The database is unavailable.",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of a route's possible problems."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIBED[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 503})
    }


def respond(
    request: Request,
    status: int,
    detail: Sentence,
    *,
    code: str | None = None,
    title: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as a response, in the client's language."""
    title = title or HTTPStatus(status).phrase
    code = code or _CODES.get(status) or title.lower().replace(" ", "-")
    lang = browser.language_of(request)
    body = {
        "type": f"/api/docs#{code}",
        "title": gettext(lang)(title),
        "status": status,
        "detail": detail.translated(lang),
        "code": code,
        "request_id": request.scope.get("area.request_id", ""),
    }
    about = {
        "Content-Language": lang,
        **({} if getattr(request.state, "language", None) else {"Vary": "Accept-Language"}),
    }
    return JSONResponse(body | more, status, about | (headers or {}), media_type=MEDIA_TYPE)


def in_language(request: Request, errors: Sequence[FieldError]) -> list[dict[str, str]]:
    """The field errors, in the client's language."""
    lang = browser.language_of(request)
    return [{"field": field["field"], "message": field["message"].translated(lang)} for field in errors]


def in_words(request: Request, model: _Model) -> _Model:
    """A copy of the model with its sentences and field errors in the client's language."""
    lang = browser.language_of(request)
    changes: dict[str, Any] = {
        name: value.translated(lang) for name, value in dict(model).items() if isinstance(value, Sentence)
    }
    if errors := getattr(model, "errors", None):
        changes["errors"] = in_language(request, errors)
    if then := getattr(model, "then", None):
        changes["then"] = [in_words(request, link) for link in then]
    return model.model_copy(update=changes) if changes else model


def install(app: FastAPI) -> None:
    """Turn every exception into a problem response."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Edge, respond=_broke, headers=HEADERS)


def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    if error.status == 401 and request.url.path.endswith(("/authorize", "/callback")) and browser.wants_page(request):
        # not to this URL itself: the pages' content security policy forbids forms to redirect elsewhere
        return browser.to(f"/sign-in?next={quote(browser.local(request.query_params.get('next')))}")
    headers: dict[str, str] = {}
    more: dict[str, Any] = {}
    if isinstance(error, Invalid | MalformedRequest) and error.errors:
        more["errors"] = in_language(request, error.errors)
    if isinstance(error, TooMany):
        more["retry_after"] = error.retry_after
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, SecondFactorRequired):
        more |= {"ticket": error.ticket, "methods": error.methods, "passkey": error.passkey}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return respond(request, error.status, error.message, code=error.code, title=error.title, headers=headers, **more)


def _validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    details = error.errors()
    errors = [_field_error(detail) for detail in details]
    unreadable = any(detail["type"] == "json_invalid" for detail in details)
    return _problem(request, MalformedRequest(errors=errors) if unreadable else Invalid(errors=errors))


def _field_error(detail: dict[str, Any]) -> FieldError:
    """Pydantic's error as ours, without the input."""
    if detail["type"] == "json_invalid":
        return {"field": "body", "message": refused(detail)}
    message = refused(detail)
    if detail["type"] == "string_pattern_mismatch" and detail.get("ctx", {}).get("pattern") == PRINTABLE:
        message = Sentence("Line breaks and control characters aren't allowed.")
    path = [str(part) for part in detail["loc"]]
    return {"field": ".".join(path[1:]) or path[0], "message": message}


def _http(request: Request, error: Exception) -> Response:
    """Errors that Starlette and FastAPI raise themselves."""
    if not isinstance(error, HTTPException):
        raise error
    detail = sentence_of(error)
    return respond(request, error.status_code, detail, headers=dict(error.headers or {}))


def _broke(request: Request, status: int, detail: Sentence, headers: dict[str, str] | None = None) -> Response:
    more: dict[str, Any] = {"retry_after": int(headers["Retry-After"])} if headers else {}
    return respond(request, status, detail, headers=headers, **more)
