"""W7, overload: webhooks arrive at twice the sustainable rate, whether or not earlier ones have been answered."""

import json
import time
from collections import Counter
from contextlib import ExitStack

from bench.stack import Area
from bench.w1 import measure, percentile, prepare, read, sink, start

LEAST_DONE = 0.90  # of the closed loop's throughput
MOST_MEMORY = 300  # MB of web, worker and supervisor together
MOST_QUEUE = 60.0  # maximum seconds that the oldest execution has waited
DEPTH = """
select coalesce(extract(epoch from timezone('utc', now()) - min(created_at)), 0)::float as depth, count(*) as waiting
from area_executions where status = 'pending'
"""


def w7(seconds: float = 30, factor: float = 2.0) -> bool:
    """Print the figures; return whether every bound holds."""
    with ExitStack() as stack:
        stack.enter_context(sink())
        area = stack.enter_context(Area())
        path = prepare(area)
        measure(area.port, path, ("-c", "16"), 3, area.folder, "warm")
        closed = measure(area.port, path, ("-c", "64"), min(seconds, 15), area.folder, "closed")
        rate = closed["done_s"] * factor
        out, begun = area.folder / "load-open.json", time.time()
        client = start(area.port, path, ("-r", str(rate)), seconds, out, "open")
        samples = []
        while client.poll() is None:
            cost, depth = area.cost(), area.query(DEPTH)[0]
            sample = {
                "s": round(time.time() - begun, 1),
                "mb": round(cost.memory),
                "db_mb": round(cost.memory_database),
                "waiting": depth["waiting"],
                "depth_s": round(depth["depth"], 1),
            }
            samples.append(sample)
            print(json.dumps({"bench": "w7", **sample}), flush=True)
            time.sleep(1)
        run = read(out, begun)
        run.collect()
        # completed while requests arrived; the rest is drained afterwards without load
        done = sum(begun <= times[0] <= begun + seconds for times in run.arrived.values()) / seconds
        run.drain(120)
        figures = run.figures()
    statuses = Counter(str(request.status) for request in run.sent)
    answered = sorted(request.answered - request.sent for request in run.accepted)
    refused = [request for request in run.sent if request.status == 429]
    line = {
        "bench": "w7",
        "offered_s": round(rate),
        "closed_done_s": closed["done_s"],
        "open_done_s": round(done),
        "share": round(done / closed["done_s"], 2),
        "memory_mb": [samples[0]["mb"], max(sample["mb"] for sample in samples), samples[-1]["mb"]],
        "memory_db_mb": max(sample["db_mb"] for sample in samples),
        "queue_s": max(sample["depth_s"] for sample in samples),
        "queue": max(sample["waiting"] for sample in samples),
        "statuses": dict(statuses),
        "unsent": run.unsent,
        "client_cpu_s": round(run.client_cpu, 1),
        "share_429": round(len(refused) / len(run.sent), 2),
        "retry_after": dict(Counter(request.retry_after for request in refused)),
        "accepted_p99_ms": round(percentile(answered, 0.99) * 1000) if answered else None,
        "done_p99_ms": figures["ms"][2],
        "lost": figures["lost"],
        "double": figures["double"],
    }
    print(json.dumps(line), flush=True)
    bounds = {
        f"done/s >= {LEAST_DONE:.0%} of the closed loop's": line["share"] >= LEAST_DONE,
        f"memory <= {MOST_MEMORY} MB": line["memory_mb"][1] <= MOST_MEMORY,
        f"queue <= {MOST_QUEUE:g} s": line["queue_s"] <= MOST_QUEUE,
        "every 429 says when to come again": all(request.retry_after.isdigit() for request in refused),
        "nothing lost, nothing twice": line["lost"] == line["double"] == 0,
    }
    for sentence, holds in bounds.items():
        print(f"{'ok' if holds else 'FAILS':>6}  {sentence}")
    return all(bounds.values())
