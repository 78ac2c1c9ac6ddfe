"""The benchmark's floor does what AREA is compared with: it loses nothing and does nothing twice."""

import asyncio

from bench import w1
from bench.floor import INTAKE
from bench.floor.run import floor


async def test_the_floor_is_durable_and_whole(empty_dsn, tmp_path):
    def run():
        with w1.sink(), floor(empty_dsn, f"{w1.SINK}/sink", tmp_path / "log") as port:
            return w1.measure(port, INTAKE, ("-c", "4"), 0.5, tmp_path, "t")

    figures = await asyncio.to_thread(run)
    assert figures["accepted"] > 0
    assert (figures["refused"], figures["lost"], figures["double"]) == (0, 0, 0)
