"""The documentation is whole, and true to the code where it is made from it."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from area.api import make_api
from area.cli import monitoring, reference
from area.cli.commands import app
from area.db.models import Base
from area.registry import registry
from area.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    "settings.md",
    "cli.md",
    "api.md",
    "components.md",
    "tables.md",
    "metrics.md",
    "rooms.md",
    "../images/rooms.svg",
    "../services.md",
]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_up_to_date(made, name):
    page = DOCS / "reference" / name
    assert page.is_file(), "run `make docs`"
    assert page.read_text("utf-8") == made[name], f"{name} is out of date: run `make docs`"


def test_every_setting_is_documented(made):
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert reference.NAMED.get(name, f"`AREA_{name.upper()}`") in made["settings.md"]


def test_every_command_and_option_is_documented(made):
    def walk(command, words):
        if hasattr(command, "commands"):
            assert command.help, f"{' '.join(words)} says nothing"
            for name, inner in command.commands.items():
                walk(inner, [*words, name])
            return
        assert command.help, f"{' '.join(words)} says nothing"
        assert f"## `{' '.join(words)}" in made["cli.md"]
        for option in command.params:
            if option.param_type_name == "option":
                assert option.help, f"{' '.join(words)} {option.name} says nothing"
                assert option.opts[0] in made["cli.md"]

    walk(get_command(app), ["area"])


def test_every_address_is_documented(made):
    for path, methods in make_api().openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), f"{method} {path} has no summary"
            assert f"### `{method.upper()} {path}`" in made["api.md"]


def test_every_component_is_documented(made):
    for service in registry().services.values():
        assert f"## {service.name}\n" in made["components.md"]
        for component in (*service.actions.values(), *service.reactions.values()):
            if not component.translated:  # made of the vendor's description, and told on the help page
                continue
            assert f"`{component.key}`" in made["components.md"]
            for name in component.params.model_fields:
                assert f"`{name}`" in made["components.md"]


def test_the_changelog_has_its_form():
    text = (DOCS.parent / "CHANGELOG.md").read_text("utf-8")
    assert text.startswith("# Changelog\n")
    assert max(map(len, text.splitlines())) <= 130
    versions = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    titles = [version.partition("\n")[0] for version in versions]
    assert titles[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", title) for title in titles[1:])
    for version in versions:
        groups = re.findall(r"^### (.+)\n\n(-? ?)", version, flags=re.MULTILINE)
        order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        assert [name for name, _ in groups] == [name for name in order if name in dict(groups)]
        assert all(mark == "- " for _, mark in groups), "a group begins with a change"


def test_every_metric_of_an_alert_is_exposed(made):
    page = made["metrics.md"]
    exposed = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    assert len(exposed) > 10
    for _, expression, _ in monitoring.ALERTS:
        for name in re.findall(r"\barea_\w+", expression):
            assert name.removesuffix("_bucket") in exposed, name
    assert len(yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["groups"][0]["rules"]) == len(
        monitoring.ALERTS
    )


def test_every_table_is_documented_once(made):
    described = re.findall(
        r"^##+ `(\w+)`$", made["tables.md"] + (DOCS / "reference/schema.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(described) == sorted(Base.metadata.tables)
    assert set(described[-len(reference.DATA_MODEL) :]) == reference.DATA_MODEL


def test_decisions_have_their_form():
    decisions = sorted((DOCS / "adr").glob("*.md"))
    assert [decision.name[:4] for decision in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for decision in decisions:
        text = decision.read_text("utf-8")
        assert len(text.splitlines()) <= 40, f"{decision.name} is longer than 40 lines"
        assert re.match(rf"# {decision.name[:4]}: \S", text), decision.name
        headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Kept by"], decision.name


def test_the_walks_lead_through_code_that_is_there():
    package = DOCS.parent / "src/area"
    text = (DOCS / "explanation/architecture.md").read_text("utf-8")
    steps = re.findall(r"^\d+\. (`[\w/]+\.py`.*?)(?=^\d+\. |^\n)", text, flags=re.MULTILINE | re.DOTALL)
    assert len(steps) > 25
    for step in steps:
        files = [package / name for name in re.findall(r"`([\w/]+\.py)`", step)]
        assert all(file.is_file() for file in files), step
        code = "".join(file.read_text("utf-8") for file in files)
        for name in re.findall(r"`(?:\w+\.)?(\w+)\(\)`", step):
            assert f"def {name}(" in code, f"no {name}() there any more: {step}"
        for name in re.findall(r"`([A-Z][a-z]+)`", step):
            assert name in code, f"no {name} there any more: {step}"


def test_decisions_are_dated_and_listed():
    index = (DOCS / "README.md").read_text("utf-8")
    for page in sorted((DOCS / "adr").glob("*.md")):
        text = page.read_text("utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        assert re.search(r"^Status: \w[\w ]*\. Date: \d{4}-\d\d-\d\d\.$", text, re.MULTILINE), page.name
        assert f"- [{title}](adr/{page.name})" in index, f"list {page.name} in docs/README.md under its title"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_a_link_to_a_decision_has_its_number(page):
    for label, number in re.findall(r"\[(\d{4})[^\]]*\]\((?:[\w./]*/)?(\d{4})-[\w-]+\.md\)", page.read_text("utf-8")):
        assert label == number
