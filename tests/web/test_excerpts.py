"""The line of data by which runs of one AREA are told apart."""

import pytest

from area.runs.excerpts import LONGEST, excerpt
from tests.web.acting import fire, hook, over


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"title": "Printer is broken", "url": "https://example.org/7", "labels": ["bug"]}, "Printer is broken · https://example.org/7"),
        ({"from": "ann@example.org", "subject": "Invoice\n 12", "html": "<p>"}, "Invoice 12 · ann@example.org"),
        ({"number": 1001, "total": 12.5, "customer": "Ann"}, "1001 · Ann"),
        ({"temperature": -3, "unit": "C", "at": "08:00", "station": 7}, "-3 · C · 08:00"),
        ({"method": "GET", "headers": {"a": "b"}}, ""),
        ({"nested": {"title": "x"}, "flag": True}, ""),
        ("a text\nof two lines", "a text of two lines"),
        (17, "17"), (None, ""), ([1, 2], ""), ({}, ""),
    ],
)  # fmt: skip
def test_a_line(data, line):
    assert excerpt(data) == line


def test_a_line_is_short():
    assert len(excerpt({"title": "x" * 500, "url": "y" * 500})) == LONGEST


async def test_rows_tell_what_came_in(person):
    area = await hook(person)
    await fire(person, area, {"order": "A-17", "total": 3})
    await over(person, area)
    await person.go(f"/areas/{area['id']}")
    rows = person.page.locator("#area-runs li.run")
    assert "A-17 · 3" in await rows.first.inner_text()
    runs, settings = [
        await person.page.get_by_role("heading", name=name).bounding_box() for name in ("Latest runs", "Webhook URL")
    ]
    assert runs["y"] < settings["y"]
    await person.go("/runs")
    assert "A-17 · 3" in await person.page.locator("li.run").first.inner_text()
