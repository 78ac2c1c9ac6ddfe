# ruff: noqa: RUF001
"""Sentences: English as any text, and what they were made of."""

import copy
import json
import pickle

import orjson
import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from area.kit.problems import Invalid, NotFound
from area.kit.refusals import refused
from area.kit.sentences import Number, Sentence, SentenceError, changed, counted, gettext, joined, read

INNER = Sentence("%(host)s refused the connection.", host="example.org")
OUTER = Sentence("Gave up after %(number)s attempts. Last error: %(error)s", number=Number(8), error=INNER)
FRENCH = "Abandon après 8 tentatives. Dernière erreur\u00a0: example.org a refusé la connexion."


def test_it_is_its_english_and_is_said_in_french():
    assert OUTER == "Gave up after 8 attempts. Last error: example.org refused the connection."
    assert OUTER.translated("en") == OUTER
    assert OUTER.translated("fr") == FRENCH
    assert gettext("fr")(OUTER) == FRENCH
    assert Sentence("A vendor's own words: 100 % %(x)s").translated("fr") == "A vendor's own words: 100 % %(x)s"
    assert Sentence("").translated("fr") == "", "not the head of the catalog"


def test_it_goes_through_exceptions_models_copies_and_json():
    class Out(BaseModel):
        why: Sentence | None = None

    error = SentenceError(OUTER)
    assert str(error) is OUTER
    assert Sentence(str(error)) is OUTER
    assert Sentence("%(error)s Next attempt at %(time)s UTC.", error=error, time="09:00").values["error"] is OUTER
    assert Out(why=OUTER).why is OUTER
    assert Out(why="plain").model_dump_json() == '{"why":"plain"}'
    assert Out.model_json_schema()["properties"]["why"]["anyOf"][0] == {"type": "string"}
    for same in (copy.deepcopy(OUTER), pickle.loads(pickle.dumps(OUTER))):
        assert same.translated("fr") == FRENCH
    assert json.loads(json.dumps(OUTER)) == orjson.loads(orjson.dumps(OUTER)) == OUTER


def test_what_is_written_down_is_read_back():
    written = orjson.loads(orjson.dumps(OUTER.dumped()))
    assert written["values"] == {"number": 8, "error": {"key": INNER.key, "values": {"host": "example.org"}}}
    assert read(written) == OUTER
    assert read(written).translated("fr") == FRENCH
    for other in (None, "x", {}, {"key": 1}, [1]):
        assert read(other) is None
    deep = written
    for _ in range(200):
        deep = {"key": "%(x)s", "values": {"x": deep}}
    assert read(deep), "however deep a cookie is"
    assert read({"key": "%(a)999999999s %(b)s", "values": {"a": "x", "b": [1]}}) == "%(a)999999999s [1]", "no format"


def test_numbers_and_plurals():
    size = Sentence("This event has %(size)s bytes; the limit is %(most)s. Send less, or select a part of it.",
                    size=Number(2_000_000), most=Number(1_048_576))  # fmt: skip
    assert "2,000,000 bytes" in size
    assert "2\u202f000\u202f000" in size.translated("fr")
    forms = "String should have at least %(number)s character", "String should have at least %(number)s characters"
    assert counted(*forms, 1) == "String should have at least 1 character"
    assert counted(*forms, 2) == "String should have at least 2 characters"
    assert counted(*forms, 1).translated("fr").endswith("1 caractère")
    assert read(counted(*forms, 2).dumped()).translated("fr").endswith("2 caractères")


def test_sentences_are_joined():
    note = joined(["", OUTER, counted("%(number)s item", "%(number)s items", 2)])
    assert note == f"{OUTER} 2 items"
    assert note.translated("fr").startswith(FRENCH)
    assert joined(["", ""]) == joined([]) == ""


def test_secrets_are_hidden_in_what_was_filled_in():
    hidden = changed(OUTER, lambda text: text.replace("example", "•••"))
    assert hidden == "Gave up after 8 attempts. Last error: •••.org refused the connection."
    assert hidden.translated("fr") == FRENCH.replace("example", "•••")
    assert changed("plain example", lambda text: text.replace("example", "•")) == "plain •"


def test_a_problem_says_a_sentence():
    problem = NotFound("There is no AREA %(number)s.", number=12345)
    assert str(problem) == problem.message == "There is no AREA 12345."
    assert problem.message.translated("fr") == "L’AREA 12345 n’existe pas."
    invalid = Invalid.field("a.b", "Unknown field.")
    assert invalid.errors == [{"field": "a.b", "message": "Unknown field."}]
    assert invalid.message.translated("fr") == "Ce champ n’existe pas."


class Form(BaseModel):
    """What pydantic refuses."""

    short: str = Field("ab", min_length=2, max_length=3)
    whole: int = Field(1, ge=1, le=9)
    many: list[int] = Field([1], min_length=1, max_length=2)
    own: str = "x"

    @field_validator("own")
    @classmethod
    def _own(cls, value: str) -> str:
        if value != "x":
            raise ValueError(Sentence("There is nothing to change."))
        return value


@pytest.mark.parametrize(
    "values",
    [{"short": "a"}, {"short": "abcd"}, {"short": 1}, {"whole": 0}, {"whole": 10}, {"whole": "x"}, {"whole": 1.5},
     {"many": []}, {"many": [1, 2, 3]}, {"many": 1}, {"own": "y"}],
)  # fmt: skip
def test_pydantic_is_quoted_and_translated(values):
    with pytest.raises(ValidationError) as raised:
        Form(**values)
    (error,) = raised.value.errors()
    sentence = refused(error)
    assert sentence == error["msg"].removeprefix("Value error, ")
    assert sentence.translated("fr") != sentence
