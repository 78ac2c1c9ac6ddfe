"""W6, a chain: webhooks to three requests one after the other, beside W1 on the same installation."""

import json
import time
import urllib.request
from contextlib import ExitStack

from bench.stack import Area, Cost
from bench.w1 import SINK, measure, prepare, read, sink, start

LEAST = 0.9  # of W1's executions/s at the same load
LOAD = ("-c", "64")


def _link(number: int) -> dict:
    """The last link sends the id that the client waits for."""
    at = "origin.body" if number > 1 else "body"
    tag = "" if number == 3 else f"-{number}"
    body = {"id": f"{{{{{at}.id}}}}{tag}", "title": f"{{{{{at}.title}}}}"}
    return {"component": "http.request", "parameters": {"url": f"{SINK}/sink", "body": body}}


def prepare_chain(area: Area) -> str:
    """Create a chain of three links, with a webhook; returns its path."""
    third = {"name": "Third", "reaction": _link(3)}
    created = area.call(
        "POST",
        "/api/areas",
        {
            "name": "First",
            "action": {"component": "webhook.received", "parameters": {}},
            "reaction": _link(1),
            "then": [{"name": "Second", "reaction": _link(2), "then": [third]}],
        },
    )
    return created["webhook_url"].partition(str(area.port))[2]


def measure_chain(area: Area, path: str, seconds: float, tag: str) -> dict:
    """Run the load: executions of all links, and when the last link of each run arrived."""
    urllib.request.urlopen(f"{SINK}/dump").read()
    out, begun = area.folder / f"load-{tag}.json", time.time()
    if start(area.port, path, LOAD, seconds, out, tag).wait():
        raise RuntimeError("the client failed")
    run = read(out, begun)
    run.drain(120, each=3)
    return run.figures()


def _ms(after: Cost, before: Cost, executions: int) -> float:
    """CPU of an execution, with the database's."""
    spent = after.cpu + after.cpu_database - before.cpu - before.cpu_database
    return round(spent * 1000 / executions, 3)


def w6(seconds: float = 20) -> bool:
    """Print the figures; return whether the bound holds."""
    with ExitStack() as stack:
        stack.enter_context(sink())
        area = stack.enter_context(Area())
        single, chain = prepare(area), prepare_chain(area)
        measure(area.port, single, ("-c", "16"), 2, area.folder, "warm")
        measure_chain(area, chain, 2, "warm-chain")
        before = area.cost()
        one = measure(area.port, single, LOAD, seconds, area.folder, "single")
        between = area.cost()
        three = measure_chain(area, chain, seconds, "chain")
        after = area.cost()
        stuck = area.query("select count(*) as n from area_executions where status <> 'success'")[0]["n"]
    share = three["done_s"] / one["done_s"]
    line = {
        "bench": "w6",
        "w1_done_s": one["done_s"],
        "executions_s": three["done_s"],
        "share": round(share, 2),
        "runs": three["accepted"],
        "last_link_ms": three["ms"],
        "lost": three["lost"],
        "double": three["double"],
        "not_success": stuck,
        "w1_cpu_ms": _ms(between, before, one["accepted"]),
        "execution_cpu_ms": _ms(after, between, 3 * three["accepted"]),
    }
    print(json.dumps(line), flush=True)
    bounds = {
        f"executions/s of a chain >= {LEAST:.0%} of W1's": share >= LEAST,
        "nothing lost, nothing twice, all succeeded": three["lost"] == three["double"] == stuck == 0,
    }
    for sentence, holds in bounds.items():
        print(f"{'ok' if holds else 'FAILS':>6}  {sentence}")
    return all(bounds.values())
