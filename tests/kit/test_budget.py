"""No expression that can be saved takes long or much memory, whatever the data."""

import gc
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from area.kit import template
from area.kit.budget import MAX_EVENT, SLICE, STEPS, Budget, Exhausted, Unfinished, size_of
from area.kit.template import RenderError, TemplateError, condition
from area.kit.template.condition import ConditionError
from area.kit.template.filling import Filling, json_document
from area.kit.template.filters import FILTERS
from area.sdk.selection import JmesPath, TooMuch, select

MOST_SECONDS = 0.05
MOST_MEMORY = 64 * 2**20
TRIES = 8  # a machine that does something else takes some of them longer
RESET = Path("/proc/self/clear_refs")
PATH = TypeAdapter(JmesPath)

LARGE: dict[str, Any] = {
    "ints": [1] * 490_000,
    "floats": [0.1] * 240_000,
    "texts": ["a"] * 240_000,
    "long texts": ["x" * 1000] * 980,
    "dates": ["2026-01-01T00:00:00+01:00"] * 35_000,
    "numbers": ["9" * 60] * 15_000,
    "lists": [[]] * 330_000,
    "objects": [{"a": number} for number in range(80_000)],
    "keys": {str(number): number for number in range(60_000)},
    "escapes": ["\\u0000"] + [1] * 480_000,
    "text": "ab" * 490_000,
    "tags": "<a>" * 330_000,
    "references": "&notit;" * 140_000,
    "less": "<" * 990_000,
    "controls": "\x01" * 160_000,
    "wide": "😀" * 240_000,
    "sigma": "Σ" * 490_000,
    "sharp s": "ß" * 490_000,
    "lines": "\n" * 490_000,
}
STEPS_OF_CHAINS = [
    *(name for name, kind in FILTERS.items() if not kind.least),
    "truncate:900000", 'default:"x"', "default:y", 'date:"%d.%m.%Y %H:%M"', 'date_add:"1 month"', "number:2", 'replace:"a","bb"',
    'join:", "', 'url_part:"query"', 'url_part:"query","a"', 'match:"((((a|b)*)*)*)a[ab]{5}"', 'match:"(a*)b|(a)","all"',
    'match:"","all"', 'split:"a"', 'split:"b"', 'map:"a"', 'map:"0"', "where:\"item != 'zz'\"", 'where:"a > 5"',
    "where:\"item contains 'zz' or item == 5\"", 'where:"item matches \'[ab]*a[ab]{300}c\'"', "count:\"item starts_with 'a'\"",
    'sort:"a","desc"', 'unique:"a"', 'group:"a"', 'group:"key"', 'sum:"a"', 'min:"a"', 'max:"a"', "slice:1", "slice:-400000,-1",
    "merge:y", 'merge:"{}"', 'pick:"a"', 'pick:"a","b","c.d.e","0"', 'csv:"\t"', 'parse_csv:"a"', 'hash:"sha512"',
    'base64:"decode"', 'parse_json:"a"',
]  # fmt: skip


def chained(steps: list[str]) -> str:
    """A placeholder of the steps that can follow one another."""
    chain = "x"
    for step in steps:
        try:
            template.compile(f"{{{{{chain}|{step}}}}}")
        except TemplateError:
            continue
        chain += f"|{step}"
    return f"{{{{{chain}}}}}"


CHAINS = st.lists(st.sampled_from(STEPS_OF_CHAINS), min_size=1, max_size=20).map(chained)
COMPARISONS = st.sampled_from([
    "x == y", "x != y", "x < y", 'x contains "zz"', "x contains y", "x in y", '"q" in x', 'x in ["2026-01-01", "5", 7, true]',
    "x starts_with y", "x ends_with y", "x empty", 'x matches "(a|b)*a(a|b){20}c"', 'x matches "(?i)urgent|critical"',
    'x matches "[ab]*a[ab]{300}c"', 'x == "2026-01-01"', "x == 5", "x == true", "5 in x", "true in x", "x[0] in x", "x[0] == x",
])  # fmt: skip
PATHS = st.sampled_from([
    "@", "[*]", "[]", "[*].a", "[?a == `9`]", "[?@ == `9` || @ == `8`]", "[?@ == @]", "[?contains(@, 'x')]", "[@,@]", "[*].[@,@]",
    "[*].{a: @, b: @}", "sort(@)", "reverse(@)", "to_string(@)", "map(&[@,@], @)", "join('-', @)", "max_by(@, &a)", "values(@)",
    "merge(@, @)", "[::-1]", "[*].to_number(@)", "[?to_string(@) == 'x']", "[@] == [@]", "contains(@, `[1]`)", "keys(@)", "*.a",
])  # fmt: skip


def attempted(work: Callable[[], object]) -> None:
    """What is refused is fine, when it says so in a few words."""
    refusal = ""
    try:
        work()
    except (RenderError, Exhausted, ValueError) as error:
        refusal = str(error)
    assert len(refusal) < 700


def cost(work: Callable[[], object]) -> float:
    """The least seconds of CPU that it took."""
    least = float("inf")
    for _ in range(TRIES):
        begun = time.process_time()
        attempted(work)
        least = min(least, time.process_time() - begun)
        if least < MOST_SECONDS:
            break
    return least


def memory(work: Callable[[], object]) -> int:
    """Bytes that the process has more at the highest than before."""
    if not RESET.exists():
        pytest.skip("the highest use of memory is known on Linux only")
    gc.collect()
    RESET.write_text("5")  # proc(5): the highest use so far is forgotten
    before = used()
    attempted(work)
    return used() - before


def used() -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]


def other(value: Any) -> Any:
    """Nearly the same, so that comparing does not end early."""
    return value[:-1] + ("é" if isinstance(value, str) else [7]) if isinstance(value, str | list) else {**value, "z": 0}


def test_the_data_are_events() -> None:
    for value in LARGE.values():
        assert 400_000 < len(orjson.dumps(value)) <= MAX_EVENT


def test_each_filter_is_among_them() -> None:
    assert {step.partition(":")[0] for step in STEPS_OF_CHAINS} == set(FILTERS)


@pytest.mark.parametrize("step", STEPS_OF_CHAINS)
def test_no_filter_takes_long(step: str) -> None:
    compiled = template.compile(f"{{{{x|{step}}}}}")
    for name, value in LARGE.items():
        spent = cost(lambda: compiled.render({"x": value, "y": other(value)}, Budget()))  # noqa: B023 - run at once
        assert spent < MOST_SECONDS, name


@given(st.sampled_from(list(LARGE)), CHAINS, st.sampled_from([1, 200]), st.booleans())
@example("less", "{{x|strip_html}}", 20, True)
@example("text", "{{x}}", 2500, True)
@example("sigma", "{{x|lower|upper}}", 1, False)
@settings(max_examples=40, deadline=None)
def test_no_template_takes_long(name: str, chain: str, times: int, structured: bool) -> None:
    text = orjson.dumps([chain] * times).decode() if structured else chain * min(times, 200)
    try:
        filling = Filling(text, split=json_document if structured else None)
    except TemplateError:
        return
    work = lambda: filling.render({"x": LARGE[name], "y": other(LARGE[name])}, Budget())  # noqa: E731
    assert cost(work) < MOST_SECONDS
    assert memory(work) < MOST_MEMORY


@given(st.sampled_from(list(LARGE)), st.lists(COMPARISONS, min_size=1, max_size=3), st.sampled_from(["or", "and"]))
@example("dates", ["x[0] in x"], "or")
@settings(max_examples=40, deadline=None)
def test_no_condition_takes_long(name: str, comparisons: list[str], joint: str) -> None:
    clause = f"({f' {joint} '.join(comparisons)})"
    try:
        parsed = condition.parse(
            f" {joint} ".join([clause] * min(200 // len(comparisons), 10_000 // (len(clause) + 5)))
        )
    except ConditionError:
        return
    work = lambda: parsed.evaluate({"x": LARGE[name], "y": other(LARGE[name])}, Budget())  # noqa: E731
    assert cost(work) < MOST_SECONDS
    assert memory(work) < MOST_MEMORY


@given(st.sampled_from(list(LARGE)), st.lists(PATHS, min_size=1, max_size=80).map("|".join))
@example("ints", f"[?{' || '.join(['@ == `9`'] * 40)}] | length(@)")
@example("text", f"[{','.join(['@'] * 100)}]")
@example("ints", "|".join(["[@,@]"] * 80))
@settings(max_examples=40, deadline=None)
def test_no_path_takes_long(name: str, path: str) -> None:
    try:
        PATH.validate_python(path)
    except ValidationError:
        return
    work = lambda: select(path, LARGE[name], Budget())  # noqa: E731
    assert cost(work) < MOST_SECONDS
    assert memory(work) < MOST_MEMORY


@pytest.mark.parametrize(
    "text", ["[" * 1_000_000, "[[],[]" + ",[]" * 300_000 + "]", '{"":' * 200_000, "[1" + ",1" * 499_000 + "]"]
)
def test_what_reads_an_event_is_bounded(text: str) -> None:
    def work() -> None:
        orjson.loads(text)

    assert memory(work) < MOST_MEMORY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner),
    max_leaves=12,
)


@given(JSON, st.lists(PATHS, min_size=1, max_size=4).map("|".join), CHAINS, COMPARISONS)
@settings(max_examples=300, deadline=None)
def test_nothing_is_raised_but_what_is_declared(value: Any, path: str, chain: str, compared: str) -> None:
    data = {"x": value, "y": [value]}
    attempted(lambda: select(PATH.validate_python(path), value))
    attempted(lambda: Filling(chain, split=json_document).render(data))
    condition.parse(compared).evaluate(data)


def test_all_of_an_event_draws_from_one_budget() -> None:
    budget = Budget()
    parsed = condition.parse('x contains "2026-02-02T00:00:00Z"')
    data = {"x": LARGE["dates"][:4000]}
    parsed.evaluate(data, budget)
    left = budget.steps
    Filling('["{{x|json|length}}"]', split=json_document).render(data, budget)
    assert budget.steps < left - 4000
    many = condition.parse(" or ".join(['x contains "2026-02-02T00:00:00Z"'] * 50))
    with pytest.raises(Exhausted):
        many.evaluate(data, budget)


def test_a_slice_on_the_event_loop_is_no_more_than_that() -> None:
    budget = Budget()
    budget.here(100)
    budget.spend(90)
    with pytest.raises(Unfinished):
        budget.spend(20)
    budget.beside()
    budget.spend(SLICE + 10)
    budget.here(100)
    with pytest.raises(Unfinished):
        budget.need(200)
    budget.beside()
    with pytest.raises(Exhausted):
        budget.spend(STEPS)


def test_one_list_many_times_is_as_large_as_it_is_written() -> None:
    value: Any = "x"
    for _ in range(10):
        value = [value, value]
    written = len(orjson.dumps(value))
    assert written / 2 < size_of(value, Budget()) < written * 1.5
    for _ in range(50):
        value = [value, value]
    with pytest.raises(Exhausted):
        size_of(value, Budget())


def test_the_sentence_of_a_path_that_is_too_much() -> None:
    with pytest.raises(TooMuch, match=r"Narrow it, for instance with a slice such as items\[:100\]"):
        select("[?@ == `2`]", LARGE["ints"])
