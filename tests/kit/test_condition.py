"""`only_if`: what holds, what doesn't, what is refused and how, and that nothing raises or takes long."""

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from area.kit.budget import Exhausted
from area.kit.regex import MAX_PATTERN, MAX_PROGRAM, MAX_TEXT
from area.kit.template import condition
from area.kit.template.condition import (
    MAX_COMPARISONS,
    MAX_CONDITION,
    MAX_DEPTH,
    Condition,
    ConditionError,
    check,
    parse,
)

PAGE = (Path(__file__).parents[2] / "docs/reference/templates.md").read_text()
DATA: dict[str, Any] = orjson.loads(PAGE.split("```json\n")[1].split("```")[0])
ANY_TEXT = st.text(st.characters(codec=None, categories=None))
SCALAR = (
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.sampled_from(["5", "2026-03-29", "true"])
)
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=5), max_leaves=5
)


def holds(text: str, /, **data: Any) -> bool:
    result = parse(text).evaluate(data)
    assert type(result) is bool
    return result


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def refused(text: str) -> str:
    with pytest.raises(ConditionError) as refusal:
        parse(text)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('title contains "BUG"', True),
        ('title contains "bugs"', False),
        ('title contains ""', True),
        ("number contains 2", True),
        ('draft contains "fal"', True),
        ('body contains "x"', False),
        ('body contains ""', False),
        ('author contains "Ada"', False),
        ('labels contains "BUG"', True),
        ('labels contains "bu"', False),
        ("title contains body", False),
        ("title contains labels", False),
        ('title starts_with "FIX"', True),
        ('title starts_with "bug"', False),
        ('title ends_with "V2.1"', True),
        ('title ends_with ""', True),
        ('title ends_with "fix"', False),
        ("number starts_with 4", True),
        ('title matches "v[0-9]"', True),
        (r'title matches "\bv\d+\.\d+$"', True),
        (r"title matches '\"'", False),
        ('title matches "BUG"', False),
        ('title matches "(?i)BUG"', True),
        ('number matches "^42$"', True),
        ('body matches ".*"', False),
        ('labels matches ".*"', False),
        ('author.name == "Ada"', True),
        ('author.name == "ada"', False),
        ('author.name != "ada"', True),
        ('author["e-mail"] == author.e-mail', True),
        ('["odd key"] == "found"', True),
        ("number == 42", True),
        ("number == 42.0", True),
        ('number == "42"', True),
        ('"42" == number', True),
        ('number == " 42.0 "', True),
        ('number == "x"', False),
        ("number != 42", False),
        ("number < 50", True),
        ("number < 42", False),
        ("number <= 42", True),
        ("number > 41.5", True),
        ("number >= 43", False),
        ("number > -1", True),
        ('number < "50"', True),
        ('number < "abc"', False),
        ('number >= "abc"', False),
        ("body == null", True),
        ("missing == null", True),
        ("author.missing.more == null", True),
        ("body != null", False),
        ('missing != "x"', True),
        ("missing < 5", False),
        ("missing >= 5", False),
        ("missing == missing", True),
        ("draft == false", True),
        ('draft == "FALSE"', True),
        ("draft == 0", False),
        ("draft < true", False),
        ("author == author", False),
        ("author < author", False),
        ("labels == labels", True),
        ('labels == ["bug", "ui"]', True),
        ('labels == ["bug"]', False),
        ('labels == "bug"', False),
        ("labels < 5", False),
        ("labels.0 == commits[0].message", False),
        ('author.name in ["Ada", "Grace"]', True),
        ('author.name in ["ada"]', False),
        ('author.name not in ["ada"]', True),
        ("number in [41, 42]", True),
        ('number in ["42"]', True),
        ("number in []", False),
        ("body in [null]", True),
        ("missing in [1, 2]", False),
        ('"bug" in labels', True),
        ('"BUG" in labels', False),
        ('"bug" in title', True),
        ('"bug" in author', False),
        ('"bug" in missing', False),
        ('created_at > "2026-03-29"', True),
        ('created_at < "2026-03-29T10:05:01Z"', True),
        ('created_at == "2026-03-29T12:05:00+02:00"', True),
        ('created_at != "2026-03-29T12:05:00+02:00"', False),
        ('created_at == "2026-03-29T10:05:00"', True),
        ('created_at in ["2026-03-29T12:05:00+02:00"]', True),
        ('created_at > "yesterday"', False),
        ("created_at > 5", False),
        ('title < "G"', True),
        ('title > "G"', False),
        ("body empty", True),
        ("body not empty", False),
        ("missing empty", True),
        ("title empty", False),
        ("draft empty", False),
        ("labels not empty", True),
        ("draft", False),
        ("not draft", True),
        ("title", True),
        ("body", False),
        ("number", True),
        ("labels and author", True),
        ('TITLE contains "x" OR NOT draft AND number IN [42]', True),
        ("draft or not draft and number == 42", True),
        ("(draft or number == 42) and draft", False),
        ("not (draft or number == 42)", False),
        ("not not draft", False),
        ("not draft and draft", False),
        ('title not contains "zzz"', True),
        ('not title not contains "zzz"', False),
        ('title not matches "x"', False),
        ('title contains "bug"and(number==42)', True),
        ("\n number\n>\n1\n", True),
        ("number == Null or number == TRUE", False),
        ('title contains "say \\"hi\\""', False),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    assert parse(text).evaluate(DATA) is expected


def test_reserved_words_may_be_names() -> None:
    assert holds('["in"] == 1 and ["empty"] not empty', **{"in": 1, "empty": 2})
    assert holds("in.x == 1 and not.y == 2 and in-reply-to empty and true.z == 3", **{
        "in": {"x": 1}, "not": {"y": 2}, "true": {"z": 3},
    })  # fmt: skip


def test_texts_are_equal_only_when_written_alike() -> None:
    assert not holds('zip == "1234"', zip="01234")
    assert holds('zip < "2000"', zip="01234")
    assert holds('a < "10"', a="9")
    assert holds('a < "10a"', a="10")


def test_large_numbers_are_compared_exactly() -> None:
    assert holds("id == 9007199254740993", id=9007199254740993)
    assert not holds("id == 9007199254740993", id=9007199254740992)
    assert holds('id == "123456789012345678901234567890"', id=123456789012345678901234567890)


def test_capitals_in_other_scripts() -> None:
    assert holds('a contains "STRASSE"', a="Hauptstraße")
    assert holds('a contains "straße"', a="HAUPTSTRASSE")
    assert holds('a ends_with "ÉTÉ"', a="un été")
    assert holds('a starts_with "ἐλ"', a="ἘΛΛΆΣ")
    assert holds('a starts_with "s"', a="ß")
    assert holds('a ends_with "s"', a="ß")


def test_dates_that_are_no_text() -> None:
    at = datetime(2026, 3, 29, 10, 5, tzinfo=UTC)
    assert holds('at == "2026-03-29T12:05:00+02:00"', at=at)
    assert holds('at > "2026-03-29"', at=at)
    assert holds('at >= "2026-03-29" and at < "2026-03-30"', at=date(2026, 3, 29))
    assert holds('at starts_with "2026-03"', at=at)


def test_names() -> None:
    parsed = parse('title contains "x" and (author.name in ["a"] or not ["odd key"].b empty) and number < labels[0]')
    assert parsed.names == {"title", "author", "odd key", "number", "labels"}
    assert parse("true == false").names == frozenset()


def test_check() -> None:
    parsed = parse("titel == hello and number > 3")
    assert check(parsed, ["title", "number"]) == [
        'There is no value called "hello". Available: number, title. Put texts in quotes.',
        'There is no value called "titel"; did you mean "title"?',
    ]
    assert check(parsed, ["titel", "hello", "number"]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Column 1: the condition is empty"),
        (" \n ", "the condition is empty"),
        ("title ==", "Column 9: expected a value"),
        ("title = 3", 'Column 7: instead of "=" write =='),
        ("title === 3", "not another ="),
        ("title <> 3", 'instead of "<>" write !='),
        ("a && b", 'instead of "&&" write and'),
        ("a || b", 'instead of "||" write or'),
        ("!a", 'Column 1: instead of "!" write not'),
        ("a is empty", 'instead of "is" write =='),
        ("a EQUALS 3", 'instead of "EQUALS" write =='),
        ("a like 'x'", 'instead of "like" write contains'),
        ("title containz 'x'", 'Column 7: "containz" is not allowed here; did you mean "contains"?'),
        ("a == 1 adn b == 2", 'did you mean "and"?'),
        ("a == 1\nand b == 'x", "Line 2, column 10: this text is never closed"),
        ("a == 'x\\y'", "\\y is not an escape"),
        ("a or", "Column 5: expected a value"),
        ("or a", "Column 1: expected a value before or"),
        ("contains 'a'", 'if it is a name, write ["contains"]'),
        ("(a", "Column 1: the parenthesis is never closed"),
        ("a)", "Column 2: unexpected here"),
        ("()", "Column 2: expected a value"),
        ("a b", "Column 3: unexpected here"),
        ("5", "Column 1: this value must be followed by a comparison"),
        ("'x' 'y'", "this value must be followed by a comparison"),
        ("a not", "not must be followed by contains"),
        ("a not == 3", "not must be followed by contains"),
        ("a in 3", 'in must be followed by a list, such as ["a", "b"]'),
        ("a in [b]", "a list can contain only texts in quotes and numbers"),
        ("a in ['x' 'y']", "with commas"),
        ("a in ['x'", "with commas"),
        ("a in [", "Column 6: the list is never closed"),
        ("a in [1,", "Column 6: the list is never closed"),
        ("a contains ['x']", "one value, not a list"),
        ("a matches b", "Column 11: matches must be followed by a pattern in quotes"),
        ("a matches '('", "Column 11: The pattern can't be used: missing"),
        ("a matches '(?=x)'", "Look-arounds"),
        ("{{a}} == 1", "write names without braces"),
        ("a == {{b}}", "write names without braces"),
        ("a == “x”", "Column 6: use straight quotes"),
        ("a. == 1", "a dot must be followed by a name"),
        ("a[b] == 1", "brackets take"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), "nested more than 50 deep"),
        ("not " * (MAX_DEPTH + 1) + "a", "nested more than 50 deep"),
        ("a or " * MAX_COMPARISONS + "a", "more than 200 comparisons"),
        ("x" * (MAX_CONDITION + 1), "10,241 characters, and the limit is 10,240"),
        ("a matches '" + "x" * 1001 + "'", "the limit is 1,000"),
        (" or ".join(["a matches '(x?){450}'"] * 3), "too complex together"),
    ],
)
def test_conditions_that_are_refused(text: str, message: str) -> None:
    assert message in refused(text)


def test_the_limits_themselves_are_allowed() -> None:
    assert holds("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH, a=1)
    assert holds("not " * MAX_DEPTH + "a", a=1)
    assert holds("b or " * (MAX_COMPARISONS - 1) + "a", a=1)
    assert holds("a == 1".ljust(MAX_CONDITION), a=1)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000, "(" * MAX_CONDITION, ")" * MAX_CONDITION, "not " * 2500, "a" * MAX_CONDITION + "a", "'" * MAX_CONDITION,
        '"' + '\\"' * 5000, "[" * MAX_CONDITION, "a in [" + "1," * 5000, "a in [" + "'" * 10_000, "a" + "." * 10_000, "a" + ".b" * 5000,
        "a == " + "-" * 10_000, "a == " + "9" * 10_000, "a " * 5000, "a or " * 2000, "a and " * 1700, "=" * MAX_CONDITION,
        " " * MAX_CONDITION, "{{" * 5000, "a matches " * 1000, "a matches '" + "(" * 900 + "'", "a not " * 1700, "|" * MAX_CONDITION,
        "a " + "contain" * 1400,
    ],
)  # fmt: skip
def test_hostile_conditions_are_refused_at_once(text: str) -> None:
    assert cpu_seconds(lambda: refused(text)) < 0.5
    assert len(refused(text)) < 500


def test_hostile_values_take_no_time() -> None:
    big = "a" * 1_000_000
    assert cpu_seconds(lambda: holds('a contains "b" or a starts_with "b" or a ends_with "b" or a empty', a=big)) < 0.5
    assert cpu_seconds(lambda: holds("a == b or a < b or a in [1, 'x'] or a > 5", a=big, b=big)) < 0.5
    assert cpu_seconds(lambda: holds("a == 1 or a < 1", a="9" * 5_000_000)) < 0.5
    assert cpu_seconds(lambda: holds("not (" + " or ".join(["a empty"] * 200) + ")", a=" " * 5_000_000)) < 0.5
    assert cpu_seconds(lambda: holds('a matches "(a+)+$"', a="a" * MAX_TEXT + "b")) < 0.5


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (" or ".join(['a contains "x"', '"x" in a', "a == b"] * 60), {"a": ["y"] * 9_000, "b": ["y"] * 8_999 + ["z"]}),
        ('a contains "x" or "x" in a', {"a": ["y"] * 500_000}),
        (" or ".join(["c in a"] * 200), {"a": ["2026-01-01T00:00:00+01:00"] * 10_000, "c": "2026-01-01T00:00:00Z"}),
        ('a matches "' + "(a|b)*c" * 50 + '"', {"a": "ab" * 30_000}),
    ],
)
def test_what_is_too_much_to_compare_says_so(text: str, data: dict[str, Any]) -> None:
    def attempt() -> None:
        with pytest.raises(Exhausted, match="too much processing"):
            parse(text).evaluate(data)

    assert cpu_seconds(attempt) < 1


def test_long_texts_and_lists_are_looked_at_to_their_end() -> None:
    assert holds('a contains "END"', a="x" * 500_000 + "end")
    assert holds('"end" in a and a contains "END"', a=["x"] * 20_000 + ["end"])
    assert holds("a == b", a=["x"] * 20_000, b=["x"] * 20_000)
    assert holds('a in ["2026-01-01T01:00:00+01:00", 5, "7", true, null]', a="2026-01-01T00:00:00Z")


def test_values_that_other_programs_choke_on() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, {"a": deep}, float("nan"), float("inf"), 10**5000, "\0", "\ud800", b"\xff", object(), (1, 2)):
        for comparison in ('contains "x"', 'matches "x"', "== 1", '== "x"', '< "x"', "in [1]", "== a", 'ends_with "x"'):
            assert not holds(f"a {comparison} and b", a=value, b=None)
    assert not holds("a == b", a=deep, b=deep)
    assert holds('a contains "x"', a="\ud800x")
    assert holds('a matches "x"', a="\ud800x")


WORDS = [
    "and", "or", "not", "contains", "starts_with", "ends_with", "matches", "in", "empty", "==", "!=", "<", "<=", ">", ">=",
    "a", "b.c", "a[0]", '"x"', "'5'", "5", "-1.5", "true", "null", "[1, 'x']", "[", "]", "(", ")", ",", "=", "{{", '"', "\\",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(),
    st.dictionaries(st.sampled_from("ab"), JSON),
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_condition_or_refused_and_evaluation_never_raises(text: str, data: dict[str, Any]) -> None:
    try:
        parsed = parse(text)
    except ConditionError as error:
        assert str(error).endswith((".", "?"))  # noqa: PT017 -- either of two ends is right
        return
    assert parsed.evaluate(data) in (True, False)


@given(JSON, JSON, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "contains", "starts_with", "ends_with", "in"]))
@settings(max_examples=150, deadline=None)
def test_every_pair_of_values_can_be_compared(left: Any, right: Any, operator: str) -> None:
    assert holds(f"a {operator} b", a=left, b=right) is not holds(f"not a {operator} b", a=left, b=right)
    assert holds("a != b", a=left, b=right) is not holds("a == b", a=left, b=right)
    assert holds("a == b", a=left, b=right) is holds("b == a", a=left, b=right)
    assert holds("a < b", a=left, b=right) is holds("b > a", a=left, b=right)
    if holds("a < b", a=left, b=right):
        assert not holds("a >= b", a=left, b=right)
        assert not holds("a == b", a=left, b=right)


@settings(deadline=None)
@given(st.recursive(
    st.sampled_from(["t", "f"]),
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner) | st.tuples(st.just("not"), inner),
    max_leaves=12,
))  # fmt: skip
def test_and_or_not_are_pythons(tree: Any) -> None:
    def write(node: Any) -> str:
        return node if isinstance(node, str) else "(" + " ".join(map(write, node)) + ")"

    def value(node: Any) -> bool:
        if isinstance(node, str):
            return node == "t"
        if len(node) == 2:
            return not value(node[1])
        return (value(node[0]) and value(node[2])) if node[1] == "and" else (value(node[0]) or value(node[2]))

    assert holds(write(tree), t=True, f=False) is value(tree)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["t", "f", "not t", "not f"]), min_size=1, max_size=8), st.data())
def test_precedence_is_pythons(terms: list[str], data: st.DataObject) -> None:
    joints = data.draw(st.lists(st.sampled_from([" and ", " or "]), min_size=len(terms), max_size=len(terms)))
    text = "".join(term + joint for term, joint in zip(terms, joints, strict=True)) + "f"
    groups = [
        [(term.removeprefix("not ") == "t") ^ term.startswith("not ") for term in group.split(" and ")]
        for group in text.split(" or ")
    ]
    assert holds(text, t=True, f=False) is any(all(group) for group in groups)


def test_it_takes_microseconds() -> None:
    parsed = parse('title contains "bug" and number > 40 and not draft')

    def thousand() -> None:
        for _ in range(1000):
            parsed.evaluate(DATA)

    assert min(cpu_seconds(thousand) for _ in range(20)) < 0.05


def test_it_is_a_value() -> None:
    parsed = parse("a")
    assert isinstance(parsed, Condition)
    assert parsed.text == "a"
    assert "_test" not in repr(parsed)


# --- the page for users
# -----------------------------------------------------------------------------------------------------

SECTION = PAGE.split("## Conditions")[1].split("## Limits")[0]


@pytest.mark.parametrize("text", SECTION.split("```\n")[1].splitlines())
def test_every_example_on_the_page_is_a_condition(text: str) -> None:
    parse(text)


def test_every_comparison_on_the_page_is_true() -> None:
    rows = re.findall(r"^\| `([^`]+)`", SECTION, re.MULTILINE)
    assert len(rows) == 12
    for text in rows:
        expected = text not in ("draft", "body not empty")
        assert parse(text).evaluate(DATA) is expected, text


def test_the_claims_on_the_page_are_true() -> None:
    paragraphs = " ".join(SECTION.split("Values are compared")[1].split())
    claims = re.findall(r"(?:`([^`]+)` and )?`([^`]+)` (?:is|are) (true|false)", paragraphs)
    claimed = {text: verdict == "true" for *texts, verdict in claims for text in texts if text}
    assert len(claimed) == 7
    assert {text: parse(text).evaluate(DATA) for text in claimed} == claimed


def test_the_limits_are_on_the_page() -> None:
    limits = PAGE.split("## Limits")[1]
    for limit in (
        MAX_CONDITION, MAX_COMPARISONS, MAX_DEPTH, condition.MAX_PROGRAMS, MAX_PATTERN, MAX_PROGRAM, MAX_TEXT,
    ):  # fmt: skip
        assert f"{limit:,} " in limits


def test_every_reserved_word_is_on_the_page() -> None:
    assert all(f"`{word}" in SECTION or f" {word}" in SECTION for word in condition._RESERVED)
