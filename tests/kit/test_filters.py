"""Filters for lists, objects, texts and dates: what they make, and what they refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from area.kit import template
from area.kit.template import RenderError, TemplateError

ROWS = [
    {"name": "Ann", "price": 3, "state": "open", "tags": ["x"], "at": "2026-03-29T02:00:00+02:00"},
    {"name": "bob", "price": "10", "state": "shut", "tags": ["y", "z"], "at": "2026-03-29T01:00:00Z"},
    {"name": "Cem", "state": "open", "at": "2026-03-28"},
]


def render(chain: str, value: Any, **more: Any) -> Any:
    return template.compile(f"{{{{v | {chain}}}}}").render({"v": value, **more})


@pytest.mark.parametrize(
    ("chain", "value", "result"),
    [
        ('map:"name"', ROWS, ["Ann", "bob", "Cem"]),
        ('map:"tags.1"', ROWS, [None, "z", None]),
        ('map:"a"', None, []),
        ('map:"a"', [1, "x", {"a": 2}], [None, None, 2]),
        ('where:"price > 5" | map:"name"', ROWS, ["bob"]),
        ("where:\"state == 'open' and price not empty\" | map:'name'", ROWS, ["Ann"]),
        ('where:"item >= 2"', [1, 2, "3"], [2, "3"]),
        ("where:'item.a == \"x\"'", [{"a": "x"}, {"a": "y"}], [{"a": "x"}]),
        ('where:"item == 1"', [{"item": 1}, {"item": 2}], [{"item": 1}]),
        (r"""where:"item matches '^\d+$'" """, ["1", "a"], ["1"]),
        ('where:"item == \\"x\\""', ["x", "y"], ["x"]),
        ("count", ROWS, 3),
        ("count", None, 0),
        ("count:\"state == 'open'\"", ROWS, 2),
        ("sort", ["b", "A", None, "c", ""], ["A", "b", "c", None, ""]),
        ("sort", [3, "20", 1.5], [1.5, 3, "20"]),
        ("sort", ["10", "9", "x"], ["10", "9", "x"]),
        ("sort", [True, False], [False, True]),
        ('sort:"at" | map:"name"', ROWS, ["Cem", "Ann", "bob"]),
        ('sort:"price","desc" | map:"name"', ROWS, ["bob", "Ann", "Cem"]),
        ("unique", [1, 1.0, True, "1", "1", {"a": 1}, {"a": 1}, None, None], [1, True, "1", {"a": 1}, None]),
        ('unique:"state" | map:"name"', ROWS, ["Ann", "bob"]),
        ('group:"state" | map:"key"', ROWS, ["open", "shut"]),
        ('group:"price" | map:"items.0.name"', ROWS, ["Ann", "bob", "Cem"]),
        (
            "group:'a'",
            [{"a": 1}, {"a": True}],
            [{"key": 1, "items": [{"a": 1}]}, {"key": True, "items": [{"a": True}]}],
        ),
        ('sum:"price"', ROWS, 13),
        ("sum", [0.1, 0.2, "0.3"], 0.6),
        ("sum", [], 0),
        ("sum", [2**62, 2**62, 2**62], 3 * 2**62),
        ('max:"price"', ROWS, "10"),
        ('min:"name"', ROWS, "Ann"),
        ("max", ["2026-01-01", "2025-12-31T23:00:00-05:00"], "2025-12-31T23:00:00-05:00"),
        ("min", [], None),
        ("slice:1,3", "abcdef", "bc"),
        ("slice:-2", [1, 2, 3], [2, 3]),
        ("slice:5", [1], []),
        ('map:"tags" | flatten', ROWS, ["x", "y", "z", None]),
        ("flatten", [[1, [2]], 3], [1, [2], 3]),
        ("keys", {"a": 1, "b": 2}, ["a", "b"]),
        ("values", {"a": 1, "b": 2}, [1, 2]),
        ("keys", None, []),
        ("merge", [{"a": 1}, {"b": 2}, {"a": 3}], {"a": 3, "b": 2}),
        ("merge:'{\"b\": 2}'", {"a": 1}, {"a": 1, "b": 2}),
        ("merge:w", {"a": 1}, {"a": 2}),
        ("merge:w.nothing", {"a": 1}, {"a": 1}),
        ("default:w.a", "", 2),
        ("default:w.a", "x", "x"),
        ('pick:"name","tags.0"', ROWS[0], {"name": "Ann", "tags.0": "x"}),
        ('pick:"price"', ROWS, [{"price": 3}, {"price": "10"}, {"price": None}]),
        ("csv", [{"a": 1, "b": 'x, "y"'}, {"c": [1]}], 'a,b,c\n1,"x, ""y""",\n,,[1]\n'),
        ('csv:";"', [["a", 1], "b"], "a;1\nb\n"),
        ("csv", [], ""),
        ("parse_csv", '\ufeffa,b\r\n1,"x\ny"\r\n\r\n2\n', [{"a": "1", "b": "x\ny"}, {"a": "2"}]),
        ('parse_csv:"\t"', "a\t\n1\t2\t3", [{"a": "1", "2": "2", "3": "3"}]),
        ("parse_csv", "", []),
        ("split", " a  b\nc ", ["a", "b", "c"]),
        ('split:","', "a, ,b", ["a", "", "b"]),
        ('split:","', "", []),
        ("lines", "a\r\n\r\n b \rc\n", ["a", " b", "c"]),
        (r'match:"(\d+)-(\d+)"', "x 12-34", ["12", "34"]),
        (r'match:"\d+"', "x 12-34", "12"),
        (r'match:"\d+","all"', "x 12-34", ["12", "34"]),
        ('match:"(a)|(b)"', "b", [None, "b"]),
        ('match:"(?i)É"', "été", "é"),
        ('match:"x"', "y", None),
        ('date_add:"1 month"', "2024-01-31", "2024-02-29"),
        ('date_add:"-1 year"', "2024-02-29T10:00:00Z", "2023-02-28T10:00:00+00:00"),
        ('date_add:"36h"', "2026-03-28", "2026-03-29T12:00:00+00:00"),
        ('date_add:"1 day","Europe/Paris"', "2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00"),
        ('date_add:"24h"', "2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+01:00"),
        ('date_add:"1h"', None, ""),
        ("round", 2.5, 3),
        ("round", -2.5, -3),
        ("round:2", 1.005, 1.01),
        ("round:2", 3, 3),
        ("round", "", None),
        ("hash", "é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
        ("base64", "é?>", "w6k/Pg=="),
        ('base64:"url"', "é?>", "w6k_Pg"),
        ('base64:"decode"', "w6k_Pg", "é?>"),
        ('url_part:"host"', "https://Ann@Example.org:8080/x", "example.org"),
        ('url_part:"port"', "https://example.org:8080/x", 8080),
        ('url_part:"path"', "https://example.org/a%20b/c", "/a b/c"),
        ('url_part:"query"', "https://example.org/?a=1&b=2", "a=1&b=2"),
        ('url_part:"query","b"', "https://example.org/?a=1&b=x%26y&b=3", "x&y"),
        ('url_part:"query","c"', "https://example.org/?a=1", None),
        ('url_part:"fragment"', "#x", "x"),
    ],
)
def test_filters(chain: str, value: Any, result: Any) -> None:
    made = render(chain, value, w={"a": 2})
    assert made == result
    assert type(made) is type(result)


@pytest.mark.parametrize(
    ("chain", "value", "said"),
    [
        ('map:"a"', "x", '"x" is not a list.'),
        ("sum", {"a": 1}, "an object is not a list. Use | values or | keys first."),
        ("sum", ["x"], '"x" is not a number.'),
        ("sum", ["9" * 300 + ".5"] * 2 + ["1e308", "1.5e308", "1.5e308"], "the sum is too large."),
        ("keys", [1], "a list is not an object."),
        ("keys", 5, '"5" is not an object.'),
        ("merge:'[1]'", {"a": 1}, "a list is not an object."),
        ("merge:'x'", {"a": 1}, '"x" is not JSON.'),
        ('group:"tags"', ROWS, "not a key to group by"),
        ('match:"(a{20})*b"', "a" * 65_000 + "b", "too long for this pattern"),
        ('base64:"decode"', "_w", "is not the Base64 of a text"),
        ('base64:"decode"', "x", "is not the Base64 of a text"),
        ('url_part:"host"', "http://[::1", "is not an address"),
        ("parse_csv", 'a\n"' + "x" * 200_000, "is not CSV"),
        ('date_add:"9999 years"', "2026-01-01", "out of the range of dates"),
        ('date_add:"1d"', "x", '"x" is not a date'),
        ("round", [1], "a list or an object is not a number"),
    ],
)
def test_what_a_filter_refuses(chain: str, value: Any, said: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(chain, value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ("map", 'write map as map:"author.name"'),
        ('map:"a b"', "is not a path"),
        ('where:"a =="', "where: Column 5: expected a value"),
        ('sort:"a","down"', 'the direction is "asc" or "desc"'),
        ('slice:"a"', "the start must be a whole number"),
        ('match:"(?=a)"', "Look-arounds"),
        (f'match:"{"(a)" * 21}"', "at most 20 groups"),
        ('match:"a","last"', 'is "first" or "all"'),
        ('split:""', "the separator must not be empty"),
        ('csv:"ab"', "the separator is one character"),
        ('hash:"crc32"', "the algorithm is one of md5, sha1, sha256, sha512"),
        ('base64:"x"', '"encode", "url" or "decode"'),
        ('url_part:"user"', "the part is one of scheme"),
        ('url_part:"host","a"', 'can only follow "query"'),
        ('date_add:"soon"', "is not a duration"),
        ('date_add:"1d","Mars"', "no time zone"),
        ("upper | map:'a'", 'after upper: "map" takes a list, and this is a text.'),
        ("csv | sort", 'after csv: "sort" takes a list, and this is a text.'),
        ("count | keys", 'after count: "keys" takes an object, and this is a number.'),
        ("upper | slice:1 | raw | sum", '"sum" takes a list, and this is a text.'),
        ("merge:5", "the object must be a text in quotes"),
    ],
)
def test_filters_that_are_refused_when_written(chain: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        template.compile(f"{{{{v | {chain}}}}}")
    assert said in str(caught.value)


TABLES = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(alphabet='x,;"\n é', min_size=1), min_size=3, max_size=3),
    min_size=1,
    max_size=5,
)


@given(TABLES)
def test_a_table_is_read_as_it_was_written(rows: list[dict[str, str]]) -> None:
    assert render("csv | parse_csv", rows) == rows


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False, width=32)))
def test_numbers_are_sorted_as_python_does(numbers: list[float]) -> None:
    assert render("sort", numbers) == sorted(numbers)
    assert render('sort | slice:0,1 | first | default:"none"', numbers) == (min(numbers) if numbers else "none")
