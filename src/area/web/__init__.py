"""The pages: server-rendered, with htmx for the parts that change. Beside the REST API, over the same functions."""

from fastapi import APIRouter, FastAPI

from area.doors.compress import Compress
from area.doors.edge import Edge
from area.doors.methods import Methods
from area.engine.cache import Cache
from area.engine.state import State
from area.kit import language
from area.web import admin, details, editor, find, home, inbox, profile, runs, services, sign_in, templates
from area.web import help as help_pages
from area.web.details import moving, versions
from area.web.editor import pick
from area.web.parts import errors
from area.web.profile import avatars, security, transfer, two_factor
from area.web.sign_in import links
from area.web.templates import examples


def make_web(state: State, cache: Cache) -> FastAPI:
    """The application with the pages' routes."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.area = state
    app.state.cache = cache
    errors.install(app)
    app.include_router(pages())
    for lang in language.NAMES:  # read now rather than while somebody waits
        examples.templates(lang)
        for folder in state.registry.folders.values():
            language.words(lang, folder)
    app.add_middleware(Compress, media_type="text/html")
    app.add_middleware(Methods, routes=app.routes)
    app.add_middleware(Edge, respond=errors.respond, headers=headers(state))
    return app


def pages() -> APIRouter:
    """The routes of the pages."""
    together = APIRouter()
    for router in (
        sign_in,
        links,
        editor,
        pick,
        home,
        find,
        templates,
        services,
        help_pages,
        details,
        moving,
        versions,
        runs,
        inbox,
        profile,
        security,
        two_factor,
        transfer,
        avatars,
        admin,
    ):
        together.include_router(router.router)
    return together


def headers(state: State) -> dict[str, str]:
    """Headers of every response: no content from elsewhere, no inline scripts, no framing."""
    by_name = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
            "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cache-Control": "no-store",
        "Vary": "Cookie, Accept-Language, HX-Request",
    }
    if state.settings.base_url.startswith("https://"):
        by_name["Strict-Transport-Security"] = "max-age=31536000"
    return by_name
