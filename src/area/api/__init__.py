"""The REST API, under `/api`."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

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
from area.api.problems import ProblemOut, answers
from area.doors.compress import Compress
from area.doors.methods import Methods
from area.doors.stream import Hub
from area.engine.cache import Cache
from area.engine.state import State

ABOUT = """\
The API can do everything the pages can.

**Authentication.** Log in with `POST /api/auth/login`, or create an API token with `POST /api/me/tokens`, and send it
as `Authorization: Bearer …`. A token has a scope: `read` to read; `run` also to start, repeat and cancel runs;
`manage` also to change AREAs and connections; `admin` also for administration. Browsers use a cookie, which works
only for requests from AREA's own pages.

**Lists** are paginated: `?limit=` (50 by default, at most 100) and `?cursor=`; the response is `{"items": […],
"next_cursor": …}`.

**Changes.** `GET /api/areas/{area_id}` returns an `ETag`. Send it as `If-Match` with a change, and the change is
rejected with 412 if someone else has changed the AREA. `version` in a PATCH does the same for the AREA's
configuration. The catalog also has an `ETag`: with `If-None-Match`, an unchanged one responds with 304.

**Strictness.** Unknown fields and query parameters are rejected with 422, so that a typo is never ignored; query
parameters that begin with an underscore are ignored. A body that isn't JSON gets 415 or 400. HEAD works wherever GET
does.

**Size.** A request body can have up to 2 MB, or 16 KB if you aren't logged in. It must arrive within 10 seconds, plus
one second for each 20 KB.

**Other origins.** Scripts of other web sites may call this API with a token if the administrator lists their origin in
`AREA_CORS_ORIGINS`.

**Errors** are RFC 9457 problem details (`application/problem+json`) with a `code` for programs, a `detail` for
people, and `errors` by field. Other users' objects respond with 404, as if they didn't exist.

**Language.** `title`, `detail` and the messages in `errors` are in the user's language, or else in the one that
`Accept-Language` prefers, or else in English; `Content-Language` says which. `code` never changes.
"""

TAGS = {
    "auth": "Registration, log-in and log-out, with a password, a second factor or a provider.",
    "me": "Your own account: profile, password, sessions, API tokens, second factor and mails.",
    "two-factor": "Second factors: an authenticator app, passkeys and recovery codes.",
    "catalog": "Services with their actions and reactions, and the parameters and return values of these.",
    "connections": "Your accounts at services.",
    "areas": "Links from an action to a reaction.",
    "executions": "What ran, with its event and its result; replay, cancel, and a live stream.",
    "notices": "Your inbox.",
    "admin": "For administrators.",
}

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
        separate_input_output_schemas=False,  # an AREA is read as it is written: one model in generated clients
        generate_unique_id_function=operation_id,
    )
    app.add_middleware(Compress, media_type="application/json")
    app.add_middleware(Methods, routes=app.routes)
    problems.install(app)
    if state is not None and state.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=state.settings.origins(),
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Last-Event-ID"],
            expose_headers=["ETag", "Retry-After", "Content-Language", "X-Request-ID"],
        )
    api = APIRouter(prefix="/api")
    for module in (two_factor, auth, callback, mail, me, services, connections, areas, executions, notices, admin):
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(docs.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign] # FastAPI's documented way
    if state is not None:
        attach(app, state, cache)
    return app


def operation_id(route: APIRoute) -> str:
    """A method name for a route, from its summary: `List AREAs` becomes `list_areas`."""
    words = re.findall(r"[a-z0-9]+", (route.summary or route.name).lower().replace("'s", ""))
    return "_".join(word for word in words if word not in ("a", "an", "the"))


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
            separate_input_output_schemas=app.separate_input_output_schemas,
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            servers=[{"url": app.state.area.settings.base_url if hasattr(app.state, "area") else "/"}],
        )
        schemas = document["components"]["schemas"]
        schema = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas["Problem"] = schema | {"title": "Problem"}
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            of_body = (
                (400, 413, 415) if "application/json" in operation.get("requestBody", {}).get("content", {}) else ()
            )
            for status in (*of_body, 422):
                operation["responses"].setdefault(str(status), answers(status)[status])
            operation["responses"] = dict(sorted(operation["responses"].items()))
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
