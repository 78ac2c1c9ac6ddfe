"""The editor's lines of a condition: a view of the tree that the condition is read into."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from area.kit.template import condition
from area.web.editor import rows


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ('title contains "urgent"', 'title contains "urgent"'),
        ("body.total >= 19.5 and tag not empty", "body.total >= 19.5 and tag not empty"),
        ("a == 'it\\'s' or b not contains \"q\"", 'a == "it\'s" or b not contains "q"'),
        (r'tag matches "^v\d+"', r'tag matches "^v\d+"'),
        ("not a contains 'x' AND (b == TRUE)", 'a not contains "x" and b == true'),
        ("", ""),
    ],
)
def test_a_simple_condition_is_lines(text, again):
    groups = rows.read(text)
    assert groups is not None
    assert rows.write(groups) == again


@pytest.mark.parametrize(
    "text",
    [
        "not (a == 1)",
        'a in ["b"]',
        "a and b",
        "a == 1 and b == 2 or c == 3",
        "(a == 1 or b == 2) and c == 3",
        "a == null",
        "a ==",
        "a",
        "a == b",
        '"x" == a',
        'a == "01"',  # the line would be written as a == 01, which equals "1", too
    ],
)
def test_a_condition_that_lines_cannot_say_stays_text(text):
    assert rows.read(text) is None


def test_a_pattern_with_both_kinds_of_quotes_stays_one_text():
    row = rows.Row(name="0", field="a", operator="matches", value="it's \"x\" and b == 'c'")
    tree = condition.parse(rows.write(rows.Rows(rows=[row]))).tree
    assert isinstance(tree, condition.Compare)
    assert condition.parse(rows.write(rows.Rows(rows=[row]))).evaluate({"a": "it's \"x\" and b == 'c'"})


@st.composite
def lines(draw):
    """One to four lines, numbered as the editor numbers them."""
    paths = st.sampled_from(["title", "author.name", "items[0].title", '["odd key"]', "in.x", "empty.not", "été"])
    texts = st.text(max_size=12) | st.sampled_from(["5", "-1.50", "007", "true", "TRUE", "null", '"', "\\n", "x and y"])
    patterns = st.sampled_from([r"^v\d+", 'say "hi"', "it's", r"\"\\", "a|b and c", r"^\s*$", "", '["]'])
    written = []
    for number in range(draw(st.integers(1, 4))):
        operator = draw(st.sampled_from(rows.OPERATORS))
        value = "" if operator in rows.ALONE else draw(patterns if operator == "matches" else texts)
        written.append(rows.Row(name=str(number), field=draw(paths), operator=operator, value=value))
    return rows.Rows(joint=draw(st.sampled_from(["and", "or"])) if len(written) > 1 else "and", rows=written)


@settings(deadline=None)
@given(lines())
def test_lines_are_read_as_they_were_written(written):
    text = rows.write(written)
    tree = condition.parse(text).tree
    parts = tree.parts if isinstance(tree, condition.AllOf | condition.AnyOf) else (tree,)
    assert len(parts) == len(written.rows)
    assert isinstance(tree, condition.AnyOf) is (written.joint == "or")
    assert rows.read(text) == written


WORDS = [
    "and", "or", "not", "(", ")", "contains", "matches", "in", "empty", "==", "!=", "<", "a", "b.c", '"x"', '"05"', "5", "1.50",
    "true", "FALSE", "null", "[1]", "'\\d'",
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join))
def test_lines_mean_what_the_text_means(text):
    groups = rows.read(text)
    if groups is not None:
        assert condition.parse(rows.write(groups)).tree == condition.parse(text).tree
