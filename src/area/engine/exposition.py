"""/metrics: this machine's processes together, and what only the database knows."""

import hmac
import os
from collections.abc import Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from prometheus_client import REGISTRY as OWN

from area.db import queue
from area.engine import metrics
from area.engine.state import State
from area.kit.hostnames import is_loopback, parse_host
from area.settings import Settings

FORWARDED = frozenset({b"forwarded", b"x-real-ip", b"via"})  # and X-Forwarded-…: what proxies add

CONNECTIONS = """
select coalesce(cs.status, 'works') as status, count(*) as n from connections us
left join connection_states cs on cs.user_id = us.user_id and cs.service_id = us.service_id
    and cs.connection_id = us.connection_id
where us.oauth_token is not null group by 1
"""


def may_read(settings: Settings, scope: Mapping[str, Any]) -> bool:
    """Whether the request may see the metrics: by the token when one is set, else from this machine itself, by a loopback name, only."""
    if settings.metrics_token:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + settings.metrics_token.get_secret_value().encode())
    peer = (scope.get("client") or ("", 0))[0]
    host = b""
    for name, value in scope["headers"]:
        if name in FORWARDED or name.startswith(b"x-forwarded-"):
            return False  # a proxy on this machine: who asks may be anywhere
        if name == b"host":
            host = value
    asked = parse_host(host.decode("latin-1"))
    return asked is not None and is_loopback(asked) and is_loopback(peer)


async def exposition(state: State) -> tuple[str, bytes]:
    """Content type and text."""
    pool = await state.database.pool()
    depth = await queue.depth(pool)
    for entrypoint, jobs in depth.items():
        metrics.queue_depth.labels(entrypoint).set(jobs.queued)
    metrics.queue_age.set(max(jobs.oldest for jobs in depth.values()))
    for status in ("works", "expired"):
        metrics.connections.labels(status).set(0)
    for row in await pool.fetch(CONNECTIONS):
        metrics.connections.labels(row["status"]).set(row["n"])
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return CONTENT_TYPE_LATEST, generate_latest(OWN)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return CONTENT_TYPE_LATEST, generate_latest(registry)
