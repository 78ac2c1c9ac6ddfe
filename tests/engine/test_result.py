"""What is kept of a result: never nothing because it was too long, too deep or odd."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from area.engine.execution.result import MAX_RESULT, encoded


class Answer(BaseModel):
    status: int = 200
    headers: dict[str, str] = {"content-type": "text/plain", "x-id": "42"}
    body: Any = None
    truncated: bool = False


def deep(levels):
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body",
    ["x" * 65_536, "é\n" * 40_000, '"' * 65_536, "\x01" * 65_536, ["item " * 10] * 5000, {"a": "b" * 100_000}, "\ud83d" * 65_536],
)  # fmt: skip
def test_a_long_answer_keeps_its_status_headers_and_beginning(body):
    stored = encoded(Answer(body=body))
    answer = json.loads(stored)
    assert len(stored) <= MAX_RESULT
    assert (answer["status"], answer["headers"]["x-id"], answer["truncated"]) == (200, "42", True)
    assert len(stored) > MAX_RESULT - 500, "as much of the body as fits"
    assert answer["body"].endswith("…")


def test_several_long_values_are_cut_from_the_longest_on():
    answer = json.loads(encoded(Answer(body="x" * 70_000, headers={"x-long": "y" * 66_000})))
    assert answer["status"] == 200
    assert answer["body"] == ""
    assert answer["headers"].startswith('{"x-long":"yyy')
    assert answer["truncated"] is True


def test_a_result_without_such_a_field_gets_a_remark():
    answer = json.loads(encoded({"id": "1", "text": "x" * 100_000}))
    assert answer["id"] == "1"
    assert answer["truncated"] == "The result was 100,020 bytes, more than is kept."
    assert json.loads(encoded(["x" * 100_000])) == {"truncated": "The result was 100,004 bytes, more than is kept."}
    assert "truncated" in json.loads(encoded({"x" * 70_000: 1}))


@pytest.mark.parametrize("levels", [100, 254, 300, 100_000])
def test_a_deep_answer_is_kept_with_its_status(levels):
    answer = json.loads(encoded(Answer(body=deep(levels))))
    assert (answer["status"], answer["truncated"]) == (200, False)
    assert answer["body"]


def test_what_jsonb_does_not_take_is_replaced():
    assert json.loads(encoded(Answer(body=["\ud83d", "a\0b", 2**70, float("inf")])))["body"] == [
        "\ufffd", "a\ufffdb", str(2**70), None
    ]  # fmt: skip
    assert encoded(None) is None
