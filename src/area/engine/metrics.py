"""The metrics that /metrics exposes for this process."""

from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

accepted = Counter("area_events_accepted", "Events accepted; each becomes an execution")
executions = Counter("area_executions", "Finished executions, by status", ["status"])
attempts = Counter("area_attempts", "Attempts of reactions, by outcome", ["outcome"])
execution_seconds = Histogram("area_execution_seconds", "Duration of an attempt", buckets=SECONDS)
running = Gauge("area_running", "Executions running now", multiprocess_mode="livesum")
hook_seconds = Histogram(
    "area_hook_seconds",
    "Time from a webhook's arrival to its response, without the wait for the result of its run",
    ["status"],
    buckets=SECONDS,
)
hook_refusals = Counter(
    "area_hook_refusals", "Webhooks rejected by repeating the rejection that was just sent to the same address"
)
polls = Counter("area_polls", "Polls, by outcome", ["service", "outcome"])
poll_lag = Histogram("area_poll_lag_seconds", "How late a source was polled", buckets=SECONDS)
queue_depth = Gauge("area_queue_depth", "Jobs waiting, by kind", ["entrypoint"], multiprocess_mode="mostrecent")
queue_age = Gauge("area_queue_age_seconds", "Age of the oldest job that is due", multiprocess_mode="mostrecent")
upstream = Counter("area_upstream_requests", "Requests to other services, by outcome", ["outcome"])
untrusted_proxies = Counter("area_untrusted_proxies", "Peers whose X-Forwarded-For is not trusted", ["peer"])
pool_waiting = Gauge("area_pool_waiting", "Work waiting for a slot, by pool", ["pool"], multiprocess_mode="livesum")
pool_refused = Counter("area_pool_refused", "Work rejected because too much was waiting, by pool", ["pool"])
connections = Gauge("area_connections", "Connections to services, by state", ["status"], multiprocess_mode="mostrecent")


# looked up once: a lookup by label costs as much as counting
_upstream: dict[str, Counter] = {}


def count_upstream(outcome: str) -> None:
    """Count a request to another service."""
    counter = _upstream.get(outcome)
    if counter is None:
        counter = _upstream[outcome] = upstream.labels(outcome)
    counter.inc()


def count_pool(pool: str, what: Literal["waiting", "refused"], more: int) -> None:
    """Count what `area.kit.fair` reports."""
    (pool_waiting if what == "waiting" else pool_refused).labels(pool).inc(more)
