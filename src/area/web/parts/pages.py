"""How a page is made: its visitor, language and template."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match
from typing_extensions import override

from area import __version__, accounts, notices
from area.accounts import Identity, sessions, two_factor
from area.doors import browser
from area.doors.body import BoundedRequest
from area.doors.deps import COOKIE, StateDep, same_origin, session_cookie, set_cookie
from area.engine.state import State
from area.kit import language
from area.kit.clock import zone_names
from area.kit.fair import set_whose, user
from area.kit.hostnames import is_loopback
from area.kit.problems import Forbidden, Problem, TooMany, TwoFactorSetupRequired
from area.kit.sentences import Sentence, gettext, zone_name
from area.web.parts import show
from area.web.parts.assets import asset

# each page's folder holds its templates, whose names are unique
TEMPLATES = [folder for folder in sorted(Path(__file__).parents[1].iterdir()) if any(folder.glob("*.html"))]
SAFE = frozenset({"GET", "HEAD"})
TOP = ("home", "templates", "runs", "services", "inbox", "admin", "profile")  # what the navigation may mark as current


class SignInNeeded(Exception):
    """No session, or it has ended."""


@dataclass
class Page:
    """One request for a page."""

    request: Request
    state: State
    identity: Identity | None
    language: str
    unread: int | None = None
    retry_after: int | None = None  # seconds, once somebody is told to wait

    def errors_of(self, problem: Problem | None) -> dict[str, str]:
        """A problem's translated sentences by field."""
        return {error["field"]: self.say(error["message"]) for error in getattr(problem, "errors", [])}

    @property
    def user(self) -> accounts.UserView:
        """The signed-in user. Raises `SignInNeeded`."""
        if self.identity is None:
            raise SignInNeeded
        return self.identity.user

    @property
    def known(self) -> Identity:
        """The user and their session. Raises `SignInNeeded`."""
        if self.identity is None:
            raise SignInNeeded
        return self.identity

    @property
    def partial(self) -> bool:
        """Whether htmx requested part of a page."""
        headers = self.request.headers  # going back, htmx asks for the whole page
        return "hx-request" in headers and "hx-history-restore-request" not in headers

    @property
    def say(self) -> Callable[..., str]:
        """Translate: `page.say("Saved.")`; with `%(name)s` filled from keywords."""
        return gettext(self.language)

    def words(self, slug: str) -> Callable[[str], str]:
        """Translate what a connector says: `page.words("rss")(component.title)`."""
        return language.words(self.language, self.state.registry.folders.get(slug))

    def tell(self, problem: Problem) -> str:
        """A problem's translated sentence; sets Retry-After."""
        if isinstance(problem, TooMany):
            self.retry_after = problem.retry_after
        return self.say(problem.message)

    @property
    def flash(self) -> str:
        """The one-time message, translated."""
        message = browser.said(self.request)
        return message.translated(self.language) if message else ""

    @property
    def reached_at(self) -> str:
        """The address the page was opened at, if it isn't the public URL that webhooks and consents use."""
        opened = f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"
        return "" if opened.lower() == self.state.settings.base_url.rstrip("/").lower() else opened

    @property
    def only_here(self) -> bool:
        """Whether the public URL reaches this machine only."""
        return is_loopback(urlsplit(self.state.settings.base_url).hostname or "")

    async def show(self, template: str, status: int = 200, *, nav: str = "", **values: Any) -> Response:
        """The page, or a part of it (templates that begin with "_"). `nav` is one of `TOP`."""
        if self.unread is None and self.identity is not None and not template.startswith("_"):
            async with self.state.database.statements() as session:
                self.unread = await notices.unread(session, self.identity.user.id)
        html = environment(self.language).get_template(template).render(
            page=self,
            me=self.identity.user if self.identity else None,
            path=self.request.url.path,
            settings=self.state.settings,
            unread=self.unread or 0,
            nav=nav,
            lang=self.language,
            flash=self.flash,
            posted=posted_from(self.request),
            here=here(self.request),
            **values,
        )  # fmt: skip
        return self.finish(HTMLResponse(html, status))

    def to(self, address: str, *, said: str = "") -> Response:
        """Go to another page of ours (303), which then shows `said`, a translated sentence, once."""
        if self.partial:
            response = Response(status_code=200, headers={"HX-Redirect": address})
        else:
            response = RedirectResponse(address, 303)
        if said:
            browser.say_once(response, said)
        return self.finish(response)

    def finish(self, response: Response) -> Response:
        """Renew the session cookie when due and clear the one-time message."""
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        if self.identity is not None and self.identity.renewed:
            set_cookie(response, self.request, self.state, self.request.cookies[COOKIE])
        if browser.SAID in self.request.cookies and isinstance(response, HTMLResponse) and not self.partial:
            response.delete_cookie(browser.SAID, path="/")
        return response


def here(request: Request) -> str:
    """The page's own address, to come back to."""
    if request.method not in SAFE:
        return posted_from(request) or "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def posted_from(request: Request) -> str:
    """The address of the page whose form this request posts; empty for GET and parts of pages. The answer takes its
    place in the browser's history, so that going back or reloading never has to post again.
    """
    if request.method in SAFE or "hx-request" in request.headers:
        return ""
    page = urlsplit(request.headers.get("referer", ""))
    if page.netloc != request.headers.get("host") or not page.path.startswith("/"):
        return page_above(request.app, request.url.path)
    return page.path + (f"?{page.query}" if page.query else "")


def page_above(app: Starlette, path: str) -> str:
    """The nearest path at or above this one that has a page."""
    while path != "/":
        scope = {"type": "http", "method": "GET", "path": path, "root_path": ""}
        if any(route.matches(scope)[0] is Match.FULL for route in app.router.routes):
            return path
        path = path.rpartition("/")[0] or "/"
    return path


async def visit(request: Request, state: StateDep) -> Page:
    """A visit by anyone."""
    token = session_cookie(request)
    identity = unread = None
    if token:
        async with state.database.statements() as session:
            identity = await sessions.authenticate(session, state.settings, token)
            if identity is not None and request.method in SAFE and "hx-request" not in request.headers:
                unread = await notices.unread(session, identity.user.id)  # a whole page shows it
    if request.method not in SAFE and not same_origin(request, state):
        raise Forbidden("This request didn't come from AREA's own pages.")
    if identity is not None:
        set_whose(user(identity.user.id))
    if identity is not None:
        request.state.language = identity.user.language
    request.state.visitor = (identity, unread)
    return Page(request, state, identity, browser.language_of(request), unread)


async def setting_up(page: Annotated[Page, Depends(visit)]) -> Page:
    """A visit by a signed-in user, even without a required second factor."""
    if page.identity is None:
        raise SignInNeeded
    return page


async def signed_in(page: Annotated[Page, Depends(setting_up)]) -> Page:
    """A visit by a signed-in user."""
    if not page.user.two_factor and two_factor.required(page.state.settings, page.user):
        raise TwoFactorSetupRequired
    return page


async def admins(page: Annotated[Page, Depends(signed_in)]) -> Page:
    """A visit by an administrator."""
    if not page.user.is_admin:
        raise Forbidden("Only administrators may see this.")
    return page


Visit = Annotated[Page, Depends(visit)]
SettingUp = Annotated[Page, Depends(setting_up)]
SignedIn = Annotated[Page, Depends(signed_in)]
AdminPage = Annotated[Page, Depends(admins)]


async def fields(request: Request) -> dict[str, str]:
    """Form fields without files; the last value of a repeated name."""
    async with BoundedRequest(request.scope, request.receive).form(max_fields=300, max_part_size=1_000_000) as form:
        # no field of ours has a NUL, which PostgreSQL takes nowhere
        texts = {name: value.replace("\0", "") for name, value in form.multi_items() if isinstance(value, str)}
        return {name: value.replace("\r\n", "\n") for name, value in texts.items()}


Fields = Annotated[dict[str, str], Depends(fields)]


def device_zone(form: Mapping[str, str]) -> str | None:
    """The browser's time zone, as app.js fills it in; None if it has none that is known here."""
    zone = form.get("timezone", "")
    return zone if zone in zone_names() else None


Action = Callable[[], Awaitable[Any]]


class Templates(Environment):
    """Templates of one language, with constant `_("…")` and `asset("…")` resolved when parsed."""

    def __init__(self, lang: str, **options: Any) -> None:
        super().__init__(**options)
        self._filled = Filled(lang)

    @override
    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = self._filled.visit(super()._parse(source, name, filename))
        template.set_environment(self)
        return template


class Filled(NodeTransformer):
    """Resolve calls with constant arguments; `_("…", name=value)` becomes a filled sentence as in newstyle gettext:
    values are escaped, the sentence is not.
    """

    def __init__(self, lang: str) -> None:
        self._words = language.translations(lang)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - Jinja's name
        """Replace a call with constant arguments."""
        self.generic_visit(node)
        match node:
            case nodes.Call(node=nodes.Name(name="asset"), args=[nodes.Const(value=name)]):
                return nodes.Const(asset(name), lineno=node.lineno)
            case nodes.Call(node=nodes.Name(name="_"), args=[nodes.Const(value=text)], kwargs=values, dyn_kwargs=None):
                markup = Markup(self._words.gettext(text))  # noqa: S704 - a template's
                if not values:
                    return nodes.Const(markup % {}, lineno=node.lineno)
                pairs = [nodes.Pair(nodes.Const(value.key), value.value) for value in values]
                return nodes.Mod(nodes.Const(markup), nodes.Dict(pairs), lineno=node.lineno)
        return node


@cache
def environment(lang: str) -> Environment:
    """The template environment of a language."""
    env = Templates(
        lang,
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value.translated(lang) if isinstance(value, Sentence) else value,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    env.install_gettext_translations(language.translations(lang), newstyle=True)  # type: ignore[attr-defined] # the extension's
    env.globals.update(asset=asset, language_names=language.NAMES, version=__version__)
    env.filters.update(_filters(lang))
    return env


def _zone(context: Context) -> str:
    """The reader's time zone, in which a page shows every time."""
    me = context.resolve("me")
    return str(me.timezone) if isinstance(me, accounts.UserView) else "UTC"


def _filters(lang: str) -> Mapping[str, Callable[..., Any]]:
    return {
        "ago": pass_context(lambda context, moment: show.ago(moment, lang, _zone(context))),
        "moment": pass_context(lambda context, moment: show.moment(moment, lang, _zone(context))),
        "instant": datetime.fromisoformat,
        "zone": lambda zone: zone_name(zone, lang),
        "planned": pass_context(lambda context, moment: show.planned(moment, lang, _zone(context))),
        "ms": lambda number: show.milliseconds(number, lang),
        "number": lambda number: show.number(number, lang),
        "size": lambda number: show.size(number, lang),
        "pretty": show.pretty,
        "links": show.links,
        "code": show.code,
        "reason": pass_context(
            lambda context, text: text.translated(lang, _zone(context)) if isinstance(text, Sentence) else text or ""
        ),
        "initials": show.initials,
        "bars": show.bars,
    }
