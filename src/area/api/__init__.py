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
What the pages do can be done here, except uploading a picture (set its URL instead), downloading all of your data in
one file, and acting on several AREAs or runs at once.

**Authentication.** Log in with `POST /api/auth/login`, or create an API token with `POST /api/me/tokens`, and send it
as `Authorization: Bearer …`. A token has a scope: `read` to read; `run` also to start, repeat and cancel runs;
`manage` also to change AREAs and connections; `admin` also for administration. Browsers use a cookie, which works
only for requests from AREA's own pages.

**Lists** are paginated: `?limit=` (50 by default, at most 100) and `?cursor=`; the response is `{"items": […],
"next_cursor": …}`.

**Size.** A request body can have up to 2 MB, or 16 KB if you aren't logged in. It must arrive within 10 seconds, plus
one second for each 20 KB.

**Errors** are RFC 9457 problem details (`application/problem+json`) with a `code` for programs, a `detail` for
people, and `errors` by field. Other users' objects respond with 404, as if they didn't exist.

**Language.** `title`, `detail` and the messages in `errors` are in the user's language, or else in the one that
`Accept-Language` prefers, or else in English; `Content-Language` says which. `code` never changes.
"""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_api(state: State | None = None, cache: Cache | None = None, *, lifespan: Lifespan | None = None) -> FastAPI:
    """The application with the API's routes. Without a `state`, call `attach` before the first request."""
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
    for module in (two_factor, auth, callback, mail, me, services, connections, areas, executions, notices, admin):
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(docs.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign] # FastAPI's documented way
    if state is not None:
        attach(app, state, cache)
    return app


def attach(app: FastAPI, state: State, cache: Cache | None = None) -> None:
    """Give the application the process's open resources. Call `app.state.hub.close()` before the server stops."""
    app.state.area = state
    app.state.cache = cache or Cache(state)
    app.state.hub = Hub(state.database)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.hub.close()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document plus the problem schema, built once."""
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
