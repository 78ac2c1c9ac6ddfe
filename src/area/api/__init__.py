"""The REST API, under `/api`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from area import __version__
from area.api import (
    admin,
    areas,
    auth,
    callback,
    connections,
    docs,
    executions,
    mail,
    me,
    notices,
    problems,
    services,
    two_factor,
)
from area.api.problems import ProblemOut
from area.doors.stream import Hub
from area.engine.cache import Cache
from area.engine.state import State

ABOUT = """\
Everything that the pages do can be done here.

**Who.** Log in at `POST /api/auth/login`, or make an API token at `POST /api/me/tokens`, and send it as
`Authorization: Bearer …`. A token has a scope: `read` for what only reads, `run` to start, repeat and cancel runs as well,
`manage` for AREAs and connections as well, `admin` for what administrators do as well. Browsers get a cookie, which works for requests of AREA's own pages only.

**Lists** come in pages: `?limit=` (50, at most 100) and `?cursor=`, answered with `{"items": […], "next_cursor": …}`.

**Size.** A request may have 2 MB, and 16 KB from whoever isn't logged in; its body has to come within 10 seconds, and one more
for each 20 KB.

**Problems** are RFC 9457 problem details (`application/problem+json`) with a `code` for programs, a `detail` for people,
and `errors` field by field. What belongs to somebody else is answered with 404, as if it were not there.

**Language.** `title`, `detail` and the messages of `errors` are in the language that the user has chosen, else in the one that
`Accept-Language` prefers, else in English; `Content-Language` says which. `code` is always the same.
"""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_api(state: State | None = None, cache: Cache | None = None, *, lifespan: Lifespan | None = None) -> FastAPI:
    """The application with the API's routes. Without a `state`, `attach` one before the first request."""
    app = FastAPI(
        title="AREA",
        version=__version__,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan or _lifespan,
        redirect_slashes=False,
    )
    problems.install(app)
    api = APIRouter(prefix="/api")
    for one in (two_factor, auth, callback, mail, me, services, connections, areas, executions, notices, admin):
        api.include_router(one.router)
    app.include_router(api)
    app.include_router(docs.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign] # FastAPI's documented way
    if state is not None:
        attach(app, state, cache)
    return app


def attach(app: FastAPI, state: State, cache: Cache | None = None) -> None:
    """Give the application what the process has open. Call `app.state.hub.close()` as soon as the server is to stop."""
    app.state.area = state
    app.state.cache = cache or Cache(state)
    app.state.hub = Hub(state.database)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.hub.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the problem's schema in it; made once."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary="When something happens in one service, do something in another.",
            description=app.description,
            routes=app.routes,
        )
        schemas = document["components"]["schemas"]
        schema = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas["Problem"] = schema | {"title": "Problem"}
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        document["security"] = [{"bearer": []}, {"cookie": []}]
        for path in (
            "/api/auth/register",
            "/api/auth/register/confirm",
            "/api/auth/login",
            "/api/auth/second-factor",
            "/api/auth/passkey",
            "/api/auth/passkey/options",
            "/api/auth/password/forgot",
            "/api/auth/password/reset",
            "/api/auth/email/confirm",
            "/api/auth/email/undo",
        ):
            document["paths"][path]["post"]["security"] = []
        for path in ("/api/auth/providers", "/api/auth/{provider}/authorize", "/api/auth/{client}/callback"):
            document["paths"][path]["get"]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
