"""Host check, before everything else: serve only this installation's names, and detect untrusted proxies.

With DNS rebinding, another site's name points at this machine, and the browser treats AREA as part of that site. Its
`Host` is then that name, which is not one of ours.
"""

import functools
import ipaddress
from collections.abc import Callable

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from area.doors import browser
from area.engine import metrics
from area.kit.hostnames import is_address, is_loopback, matches, parse_host
from area.kit.problems import Misdirected
from area.settings import Settings

log = structlog.get_logger()

# headers in which proxies name their client: https://www.rfc-editor.org/rfc/rfc7239 and what it replaced
CLIENT = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})
REMEMBERED = 1000  # accepted values of `Host`, cached
MENTIONED = 20  # maximum names and peers that a process logs

NO_HOST = "The request must have one Host header, with the name or address of this server."

Page = Callable[[Request, Misdirected], Response]


class Front:
    """ASGI middleware: 421 for a foreign `Host`, 400 for none or several. `page` makes the response for a browser."""

    def __init__(self, app: ASGIApp, settings: Settings, page: Page) -> None:
        self._app = app
        self._names = settings.names()
        self._proxies = settings.trusted_proxies
        self._page = page
        self._known: set[bytes] = set()
        self._refused: set[str] = set()
        self._peers: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        host: bytes | None = None
        several = False
        forwarded = None
        for name, value in scope["headers"]:
            if name == b"host":
                several = host is not None
                host = value
            elif name in CLIENT:
                forwarded = name
        if forwarded is not None:
            self._notice(scope, forwarded)
        if not several and (host in self._known or self._answers_to(host or b"", scope)):
            await self._app(scope, receive, send)
            return
        await self._refuse(None if several else parse_host((host or b"").decode("latin-1")), scope, receive, send)

    def _answers_to(self, value: bytes, scope: Scope) -> bool:
        if not value:
            return scope["http_version"] in ("1", "1.0")  # health checks may send none, unlike browsers
        host = parse_host(value.decode("latin-1"))
        if host is None or not answers_to(host, self._names):
            return False
        if len(self._known) < REMEMBERED:
            self._known.add(value)
        return True

    async def _refuse(self, host: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        if host is not None and host not in self._refused and len(self._refused) < MENTIONED:
            self._refused.add(host)
            log.warning("web.host_refused", host=host, advice=f"If it is yours: AREA_ALLOWED_HOSTS={host}")
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        request = Request(scope)
        if host is None:
            response = _problem("bad-request", "Bad request", 400, NO_HOST)
        elif browser.wants_page(request):
            response = self._page(request, Misdirected(host=host))
        else:
            response = _problem(Misdirected.code, Misdirected.title, 421, str(Misdirected(host=host)))
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        if scope["method"] == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    def _notice(self, scope: Scope, header: bytes) -> None:
        """Log once per peer that its forwarding headers are ignored."""
        peer = scope["client"][0] if scope.get("client") else "unknown"
        if peer in self._peers or len(self._peers) >= MENTIONED or is_trusted(peer, self._proxies):
            return
        self._peers.add(peer)
        metrics.untrusted_proxies.labels(peer).inc()
        log.warning(
            "web.proxy_not_trusted", peer=peer, header=header.decode(),
            advice=f"All clients behind it count as one address. If it is your proxy: AREA_TRUSTED_PROXIES={peer}",
        )  # fmt: skip


def _problem(code: str, title: str, status: int, detail: str) -> Response:
    body = {"type": f"/api/docs#{code}", "title": title, "status": status, "detail": detail, "code": code}
    return Response(orjson.dumps(body), status, media_type="application/problem+json")


def answers_to(host: str, names: tuple[str, ...]) -> bool:
    """Whether a host, as parsed by `parse_host`, is one of this installation's `names`, loopback or an address."""
    return is_address(host) or is_loopback(host) or any(matches(host, name) for name in names)


def is_trusted(peer: str, proxies: str) -> bool:
    """Whether the address is in the setting `trusted_proxies`."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _networks(proxies))


@functools.cache
def _networks(proxies: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(
        ipaddress.ip_network(network.strip(), strict=False) for network in proxies.split(",") if network.strip()
    )
