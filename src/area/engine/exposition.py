"""/metrics: the metrics of this machine's processes, and those that only the database knows."""

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

FORWARDED = frozenset({b"forwarded", b"x-real-ip", b"via"})  # headers that proxies add, like X-Forwarded-*

CONNECTIONS = """
select coalesce(cs.status, 'works') as status, count(*) as n from connections us
left join connection_states cs on cs.user_id = us.user_id and cs.service_id = us.service_id
    and cs.connection_id = us.connection_id
where us.oauth_token is not null group by 1
"""


def may_read(settings: Settings, scope: Mapping[str, Any]) -> bool:
    """Whether the request may read the metrics: with the token if one is set, else only from this machine by a loopback
    name.
    """
    if settings.metrics_token:
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(authorization, b"Bearer " + settings.metrics_token.get_secret_value().encode())
    peer = (scope.get("client") or ("", 0))[0]
    host = b""
    for name, value in scope["headers"]:
        if name in FORWARDED or name.startswith(b"x-forwarded-"):
            return False  # came through a proxy on this machine: the client may be anywhere
        if name == b"host":
            host = value
    hostname = parse_host(host.decode("latin-1"))
    return hostname is not None and is_loopback(hostname) and is_loopback(peer)


async def exposition(state: State) -> tuple[str, bytes]:
    """The content type and the body."""
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
