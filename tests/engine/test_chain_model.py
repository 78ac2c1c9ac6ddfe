"""Random chains with random outcomes lead to exactly the runs that a plain recursive model says."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from area.areas.plans import Config, compile_config
from area.engine.cache import Follower, Runnable
from area.engine.execution import followers
from area.engine.execution.outcome import over
from area.engine.execution.running import Member
from area.kit.clock import now
from area.registry import registry

ITEMS = [0, 1, 2, 3]
LIST = "origin.list"
CONDITIONS = {"always": None, "never": 'origin.title == "no"', "odd": "item == 1 or item == 3"}


@dataclass
class Node:
    """A link: which outcome it follows, for which items its condition holds, and for which it fails."""

    when: str
    each: bool
    holds: str
    fails: str
    then: list["Node"] = field(default_factory=list)
    number: int = 0

    def matches(self, item):
        return self.holds == "always" or (self.holds == "odd" and item in (1, 3))

    def status(self, item):
        if not self.matches(item):
            return "skipped"
        return "failed" if self.fails == "always" or (self.fails == "odd" and item in (1, 3)) else "success"


nodes = st.recursive(
    st.builds(
        Node,
        when=st.sampled_from(["success", "success", "failed", "skipped", "any", "otherwise"]),
        each=st.booleans(),
        holds=st.sampled_from(["always", "never", "odd"]),
        fails=st.sampled_from(["never", "never", "always", "odd"]),
    ),
    lambda below: st.builds(
        Node,
        when=st.sampled_from(["success", "any", "failed", "otherwise"]),
        each=st.booleans(),
        holds=st.sampled_from(["always", "odd"]),
        fails=st.sampled_from(["never", "odd"]),
        then=st.lists(below, max_size=3),
    ),
    max_leaves=8,
)


def expected(node, item=None, way=()):
    """The runs that a run of a node leads to, each as the way to it, itself included."""
    status = node.status(item)
    runs = Counter([(*way, node.number, item)])
    rivals = [other for other in node.then if other.when in ("success", "any")]
    for link in node.then:
        if link.when not in (status, "any") and not (link.when == "otherwise" and status == "success"):
            continue
        for inside in ITEMS if link.each else [item]:
            if link.when == "otherwise" and any(
                other.matches(at)
                for other in rivals
                for at in ([inside] if other.each == link.each else ITEMS if other.each else [item])
            ):
                continue
            runs += expected(link, inside, (*way, node.number, item))
    return runs


def built(node):
    """The AREAs of a tree as the engine has them, by id."""
    areas = {}

    def add(link, leading):
        link.number = len(areas) + 1
        head = not leading
        only_if = {"only_if": CONDITIONS[link.holds]} if CONDITIONS[link.holds] and not head else {}
        action = {"after": orjson.dumps(list(leading[-1:]) or [1]).decode(), **only_if}
        config = Config("area.ran", "area.pass_on", action, {"values": "{}"})
        if head:
            link.holds = "always"
            config = Config("webhook.received", "area.pass_on", {}, {"values": "{}"})
        area = Runnable(
            id=link.number,
            user_id=1,
            name=f"link {link.number}",
            active=True,
            available=True,
            version=1,
            timezone="UTC",
            failures=0,
            leading=leading,
            plan=compile_config(registry(), config),
        )
        areas[link.number] = area
        for below in link.then:
            add(below, (*leading, link.number))
        area.followers = tuple(Follower(below.number, below.when, LIST if below.each else None) for below in link.then)

    add(node, ())
    return areas


class Cached:
    def __init__(self, areas):
        self._areas = areas

    async def areas(self, ids):
        return {number: self._areas[number] for number in ids}


async def actual(node):
    """The same by the engine's own `prepare`, the data passed on as JSON."""
    areas = built(node)
    by_number, runs = {}, Counter()

    def index(link):
        by_number[link.number] = link
        for below in link.then:
            index(below)

    index(node)
    state = SimpleNamespace(settings=SimpleNamespace(max_items=1000))
    waiting = [(1, {"list": ITEMS, "title": "yes"}, ())]
    while waiting:
        number, data, way = waiting.pop()
        area, link = areas[number], by_number[number]
        way = (*way, number, data.get("item") if way else None)
        runs[way] += 1
        member = Member(execution_id=1, area_id=number, data=data)
        holds = area.plan.only_if is None or area.plan.only_if.evaluate(data)
        status = link.status(data.get("item")) if holds else "skipped"
        assert holds == link.matches(data.get("item"))
        assert followers.unable(area.plan, data) is None
        outcome = over(member, area, status, now(), error="It broke." if status == "failed" else None, result={})
        follow = await followers.prepare(state, Cached(areas), member, area, outcome)
        led_to = follow.runs if follow else []
        waiting += [(run.area_id, orjson.loads(run.data + b',"run":1}'), way) for run in led_to]
    return runs


@settings(max_examples=150, deadline=None)
@given(nodes)
def test_the_runs_are_those_of_a_plain_model(node):
    runs = asyncio.run(actual(node))
    assert runs == expected(node)
