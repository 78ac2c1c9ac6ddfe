"""AREA's own components against a platform that records the calls; tests/engine covers them with the engine itself."""

from datetime import UTC, datetime
from typing import Any, cast

from area.connectors import area
from area.sdk import Context, Failure, Option

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Platform:
    def __init__(self):
        self.done = []

    async def failures(self, since):
        for number in (1, 2):
            yield Failure(str(number), AT, number, f"AREA {number}", "It broke.", 100 + number)

    async def switched_off(self, since):
        yield Failure("7:x", AT, 7, "AREA 7", "Twenty times.", None)

    async def run_area(self, area_id, data):
        self.done.append(("run", area_id, data))
        return 99

    async def areas(self):
        return [(12, "New posts")]

    async def switch_area(self, area_id, *, active):
        self.done.append(("switch", area_id, active))


def context(platform=None):
    return Context(http=cast(Any, None), guard=cast(Any, None), platform=cast(Any, platform or Platform()))


async def test_areas_to_choose_from():
    assert await area.areas(context()) == [Option("12", "New posts", "12")]


async def test_failures_are_told_by_the_number_of_their_execution():
    events = [event async for event in area.area_failed.function(context(), area.area_failed.params(), AT)]
    assert [(event.id, event.data.area_id, event.data.execution_id) for event in events] == [
        ("1", 1, 101),
        ("2", 2, 102),
    ]
    assert events[0].at == AT


async def test_one_area_alone_can_be_watched():
    events = [event async for event in area.area_failed.function(context(), area.area_failed.params(area_id=2), AT)]
    assert [event.data.area_name for event in events] == ["AREA 2"]


async def test_areas_that_the_system_switched_off_are_told():
    events = [event async for event in area.area_switched_off.function(context(), area.area_switched_off.params(), AT)]
    assert [(event.id, event.data.reason, event.data.execution_id) for event in events] == [
        ("7:x", "Twenty times.", None)
    ]


async def test_reactions_act_on_the_named_area():
    platform = Platform()
    started = await area.run.function(context(platform), area.run.params(area_id=3, data={"title": "x"}))
    on = await area.enable.function(context(platform), area.enable.params(area_id=4))
    off = await area.disable.function(context(platform), area.disable.params(area_id=5))
    assert platform.done == [("run", 3, {"title": "x"}), ("switch", 4, True), ("switch", 5, False)]
    assert (started.execution_id, on.is_active, off.is_active) == (99, True, False)
