"""W6, a chain: webhooks to three requests one after the other, beside W1 on the same installation."""

import json
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field

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


@dataclass
class Total:
    """What the rounds of one load add up to."""

    rounds: list[dict] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, figures: dict, after: Cost, before: Cost) -> None:
        """Add a round, with the CPU that it and the database took."""
        self.rounds.append(figures)
        self.cpu += after.cpu + after.cpu_database - before.cpu - before.cpu_database

    def sum(self, name: str) -> int:
        """Of all rounds."""
        return sum(figures[name] for figures in self.rounds)

    @property
    def done_s(self) -> float:
        """The mean of the rounds, which are equally long."""
        return self.sum("done_s") / len(self.rounds)


def w6(seconds: float = 20) -> bool:
    """Print the figures; return whether the bound holds. The loads take turns, W1 first and last, so that what else the
    machine does changes both alike.
    """
    one, three = Total(), Total()
    with ExitStack() as stack:
        stack.enter_context(sink())
        area = stack.enter_context(Area())
        single, chain = prepare(area), prepare_chain(area)
        measure(area.port, single, ("-c", "16"), 2, area.folder, "warm")
        measure_chain(area, chain, 2, "warm-chain")
        for number, total in enumerate((one, three, three, one)):
            before = area.cost()
            if total is one:
                figures = measure(area.port, single, LOAD, seconds / 2, area.folder, f"single-{number}")
            else:
                figures = measure_chain(area, chain, seconds / 2, f"chain-{number}")
            total.add(figures, area.cost(), before)
        stuck = area.query("select count(*) as n from area_executions where status <> 'success'")[0]["n"]
    share = three.done_s / one.done_s
    line = {
        "bench": "w6",
        "w1_done_s": round(one.done_s),
        "executions_s": round(three.done_s),
        "share": round(share, 2),
        "runs": three.sum("accepted"),
        "last_link_ms": [figures["ms"] for figures in three.rounds],
        "lost": three.sum("lost"),
        "double": three.sum("double"),
        "not_success": stuck,
        "w1_cpu_ms": round(one.cpu * 1000 / one.sum("accepted"), 3),
        "execution_cpu_ms": round(three.cpu * 1000 / (3 * three.sum("accepted")), 3),
    }
    print(json.dumps(line), flush=True)
    bounds = {
        f"executions/s of a chain >= {LEAST:.0%} of W1's": share >= LEAST,
        "nothing lost, nothing twice, all succeeded": three.sum("lost") == three.sum("double") == stuck == 0,
    }
    for sentence, holds in bounds.items():
        print(f"{'ok' if holds else 'FAILS':>6}  {sentence}")
    return all(bounds.values())
