"""What vendors answer becomes flat models by the paths of their fields."""

import pytest

from area.sdk import Output, Permanent, composed, lookup, output, parse
from area.sdk.fields import fields


class Message(Output):
    """A message."""

    id: str = output("id", "What names it", "1")
    author: str | None = output("from.user.name from.bot.name", "Who wrote it", "Ada", None)
    first: str | None = output("files.0.name", "Its first file", "a.txt", None)


@pytest.mark.parametrize(
    ("values", "author", "first"),
    [
        ({"id": "1", "from": {"user": {"name": "Ada"}, "bot": {"name": "Bot"}}}, "Ada", None),
        ({"id": "1", "from": {"user": None, "bot": {"name": "Bot"}}, "files": [{"name": "a.txt"}]}, "Bot", "a.txt"),
        ({"id": "1", "from": {"user": {"name": ""}, "bot": {"name": "Bot"}}}, "Bot", None),
        ({"id": "1", "from": {"user": {"name": ""}, "bot": None}}, "", None),
        ({"id": "1", "from": None, "files": []}, None, None),
        ({"id": "1", "author": "Ada", "first": "a.txt"}, "Ada", "a.txt"),  # its own names, as it is kept
    ],
)
def test_fields_are_found_by_path(values, author, first):
    message = parse(Message, values, "Notes")
    assert (message.author, message.first) == (author, first)
    assert Message.model_validate_json(message.model_dump_json()) == message


class Labeled(Output):
    text: str = output("fields.text", "Text", "Hello", "")
    names: list[str] = output("labels", "Labels", ["a"], [])
    more: str | None = output("more", "More", "x", None)
    day: str = output("date day", "Day", "Monday", "")
    file: str = composed("{dir folder}/{name}", "File", "a/b", "")


@pytest.mark.parametrize(
    ("values", "text", "names"),
    [
        ({"fields": {"text": None}, "labels": None, "more": None, "date": None, "day": None}, "", []),
        ({"fields": None}, "", []),
        ({"fields": {"text": "Hi"}, "labels": ["a"]}, "Hi", ["a"]),
    ],
)
def test_null_stands_for_the_default(values, text, names):
    answer = parse(Labeled, values, "Notes")
    assert (answer.text, answer.names, answer.more) == (text, names, None)
    assert (answer.day, answer.file) == ("", "")
    assert answer.names is not parse(Labeled, values, "Notes").names


def test_of_several_paths_an_empty_one_is_passed_over():
    answer = parse(Labeled, {"date": "", "day": "Monday", "dir": "", "folder": "a", "name": "b"}, "Notes")
    assert (answer.day, answer.file) == ("Monday", "a/b")
    assert lookup("dir folder", {"dir": "", "folder": 0}) == 0
    assert lookup("dir", {"dir": ""}, "x") == lookup("dir folder", {"dir": ""}, "x") == ""


def test_what_has_no_default_has_to_be_there():
    with pytest.raises(Permanent, match="Unexpected response from Notes: id"):
        parse(Message, {"from": {}}, "Notes")


def test_they_are_described_as_other_fields():
    assert [(field.name, field.description, field.placeholder, field.nullable) for field in fields(Message)] == [
        ("id", "What names it", "1", False),
        ("author", "Who wrote it", "Ada", True),
        ("first", "Its first file", "a.txt", True),
    ]


class Whole(Output):
    id: str = output("a.id", "ID", "1")
    items: list[str] = output("items", "Items", ["x"], None)


def test_a_model_is_constructed_as_pydantic_does():
    for values in ({"id": "1", "items": ["a"]}, {"id": "1"}, {"id": "1", "items": [], "more": 2}):
        ours, theirs = Whole.model_construct(**values), super(Output, Whole).model_construct(**values)
        assert ours == theirs
        assert (ours.model_fields_set, ours.model_dump()) == (theirs.model_fields_set, theirs.model_dump())
    assert list(Whole.model_construct(items=["a"], id="1").model_dump()) == ["id", "items"]
