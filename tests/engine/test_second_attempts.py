"""What AREA's own services do when an execution is attempted again: nothing more."""

from typing import Any, cast

from area.engine.platform import UserPlatform
from area.sdk import Context

from .conftest import make_area, rows

LEFT = (
    "select (select json_agg(e order by id)::text from area_executions e) as executions,"
    " (select json_agg(a.is_active order by id)::text from areas a) as switches,"
    " (select json_agg(n order by id)::text from notices n) as notices"
)


async def test_a_second_attempt_leaves_what_the_first_one_left(state, user):
    areas = [await make_area(state, user) for _ in range(2)]
    attempts = [
        ("area.run", {"area_id": areas[0].id, "data": {"title": "x"}}),
        ("area.disable", {"area_id": areas[1].id}),
        ("area.enable", {"area_id": areas[1].id}),
        ("area.pass_on", {"values": {"a": 1}}),
        ("inbox.post", {"title": "Hello"}),
    ]
    for number, (key, params) in enumerate(attempts):
        reaction, results, left = state.registry.reaction(key), [], []
        for _ in range(2):
            platform = UserPlatform(state, user, 0, key=f"run-{number}")
            context = Context(http=cast(Any, None), guard=cast(Any, None), platform=platform)
            results.append(await reaction.function(context, reaction.params(**params)))
            left.append(await rows(state, LEFT))
        assert results[0] == results[1], key
        assert left[0] == left[1], key
    (after,) = left[0]
    assert after["executions"].count('"area_id"') == 1
    assert after["notices"].count('"title"') == 1
