"""The reference of the metrics, with alerts for them."""

from collections.abc import Iterator

ALERTS = (
    ("AREA is down", "up == 0", "2m"),
    ("No worker takes jobs", "max(area_queue_age_seconds) > 60", "2m"),
    ("Executions fail", 'rate(area_executions_total{status="failed"}[15m]) > 0.1', "15m"),
    ("Polls are late", "histogram_quantile(0.95, sum by (le) (rate(area_poll_lag_seconds_bucket[10m]))) > 30", "10m"),
    ("Webhooks are slow", "histogram_quantile(0.99, sum by (le) (rate(area_hook_seconds_bucket[5m]))) > 1", "5m"),
    ("Connections need their users", 'sum(area_connections{status="expired"}) > 0', "1h"),
    ("Work is refused", "sum by (pool) (rate(area_pool_refused_total[5m])) > 0", "5m"),
    ("A proxy isn't trusted", "sum(area_untrusted_proxies_total) > 0", "5m"),
)


def page() -> Iterator[str]:
    """The page, line by line."""
    from prometheus_client.metrics import MetricWrapperBase

    from area.engine import metrics

    yield "# Metrics"
    yield ""
    yield "`GET /metrics` exposes these for Prometheus; [Deploy](../howto/deploy.md#health-checks) says who may read"
    yield "it. Counters end in `_total`, histograms have `_bucket`, `_sum` and `_count`. Queue and connections come"
    yield "from the database, so one process is enough for them; sum the others over all processes."
    yield ""
    rows = []
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - has no public name
            rows.append((f"`{name}`", family.type, labels, f"{family.documentation}."))
    yield "| metric | type | labels |  |"
    yield "|---|---|---|---|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
    yield "## Alerts"
    yield ""
    yield "A starting point for a Prometheus rules file:"
    yield ""
    yield "```yaml"
    yield "groups:"
    yield "  - name: area"
    yield "    rules:"
    for title, expression, lasting in ALERTS:
        yield f"      - alert: {title}"
        yield f"        expr: '{expression}'"
        yield f"        for: {lasting}"
    yield "```"
    yield ""
