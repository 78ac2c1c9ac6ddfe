"""RFC 9457 problem details for everything that is not answered with what was asked for."""

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
from area.doors.edge import Edge
from area.kit.problems import FieldError, Invalid, Problem, SecondFactorRequired, TooMany
from area.kit.refusals import refused
from area.kit.sentences import Sentence, gettext

MEDIA_TYPE = "application/problem+json"
_Model = TypeVar("_Model", bound=BaseModel)
HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


class FieldProblem(BaseModel):
    """One field that was refused."""

    field: str = Field(examples=["reaction.parameters.url"])
    message: str


class ProblemOut(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(
        description="Address of the description of this kind of problem", examples=["/api/docs#not-found"]
    )
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="A sentence for the user", examples=["There is no AREA 7."])
    code: str = Field(description="The kind of problem, for programs", examples=["not-found"])
    request_id: str = Field(description="Names this request in the log")
    errors: list[FieldProblem] | None = Field(None, description="What is wrong field by field")
    retry_after: int | None = Field(None, description="Seconds to wait")
    ticket: str | None = Field(None, description="For `POST /api/auth/second-factor`")
    methods: list[str] | None = Field(None, description="What that takes: app, passkey, recovery_code")
    passkey: dict[str, Any] | None = Field(None, description="A challenge for a passkey")


_DESCRIBED = {
    400: Sentence("The request can't be read."),
    401: "Not logged in, or not any more.",
    403: "Not allowed.",
    404: "No such thing, or it belongs to somebody else.",
    409: "It does not fit the present state.",
    410: "No longer there.",
    413: "More than 2 MB.",
    422: "Some of what was sent can't be used.",
    429: "Too often; `Retry-After` says when again.",
    503: "The database can't be reached at the moment.",
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route may answer with."""
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
    """A problem as a response, in the caller's language."""
    title = title or HTTPStatus(status).phrase
    code = code or title.lower().replace(" ", "-")
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
    """What is wrong field by field, in the caller's language."""
    lang = browser.language_of(request)
    return [{"field": one["field"], "message": one["message"].translated(lang)} for one in errors]


def in_words(request: Request, model: _Model) -> _Model:
    """The same model with its sentences, and what is wrong field by field, in the caller's language."""
    lang = browser.language_of(request)
    changes: dict[str, Any] = {
        name: value.translated(lang) for name, value in dict(model).items() if isinstance(value, Sentence)
    }
    if errors := getattr(model, "errors", None):
        changes["errors"] = in_language(request, errors)
    return model.model_copy(update=changes) if changes else model


def install(app: FastAPI) -> None:
    """Answer every exception with a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Edge, respond=_broke, headers=HEADERS)


def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    if error.status == 401 and request.url.path.endswith(("/authorize", "/callback")) and browser.wants_page(request):
        # not to this address itself: the policy of pages lets no form lead elsewhere, not even by redirection
        return browser.to(f"/sign-in?next={quote(browser.local(request.query_params.get('next')))}")
    headers: dict[str, str] = {}
    more: dict[str, Any] = {}
    if isinstance(error, Invalid) and error.errors:
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
    return _problem(request, Invalid(errors=[_field_error(one) for one in error.errors()]))


def _field_error(one: dict[str, Any]) -> FieldError:
    """Pydantic's error as ours, without what was sent."""
    if one["type"] == "json_invalid":
        return {"field": "body", "message": refused(one)}
    message = refused(one)
    if one["type"] == "string_pattern_mismatch" and one.get("ctx", {}).get("pattern") == PRINTABLE:
        message = Sentence("No line breaks and no control characters here.")
    path = [str(part) for part in one["loc"]]
    return {"field": ".".join(path[1:]) or path[0], "message": message}


_SENTENCES = {
    404: Sentence("There is nothing at this address."),
    405: Sentence("This address does not take this method."),
    400: Sentence("The request can't be read."),
}


def _http(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI raise themselves."""
    if not isinstance(error, HTTPException):
        raise error
    detail = _SENTENCES.get(error.status_code) or Sentence(str(error.detail))
    return respond(request, error.status_code, detail, headers=dict(error.headers or {}))


def _broke(request: Request, status: int, detail: Sentence, headers: dict[str, str] | None = None) -> Response:
    more: dict[str, Any] = {"retry_after": int(headers["Retry-After"])} if headers else {}
    return respond(request, status, detail, headers=headers, **more)
