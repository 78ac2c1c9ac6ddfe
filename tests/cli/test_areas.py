import json

import pytest
import yaml
from tests.cli.conftest import DOORBELL

MORNING = {
    "name": "Morning",
    "is_active": False,
    "action": {"component": "timer.daily_timer", "parameters": {"time": "08:00", "only_if": "weekday != 'Sunday'"}},
    "reaction": {"component": "inbox.post", "parameters": {"title": "{{weekday}}", "delay": "5m"}},
}


@pytest.fixture
def ann(area):
    area.user("ann")
    return area


@pytest.fixture
def write(tmp_path):
    def write(value, name="areas.yaml"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        return str(path)

    return write


def test_a_file_is_applied_and_applied_again_changes_nothing(ann, write):
    file = write({"areas": [DOORBELL, MORNING]})
    assert ann.ok("apply", "-f", file) == "created  Doorbell\ncreated  Morning\n"
    assert ann.ok("apply", "-f", file) == "same     Doorbell\nsame     Morning\n"
    file = write([{**DOORBELL, "description": "At the door"}, MORNING])
    assert ann.ok("apply", "-f", file) == "changed  Doorbell\nsame     Morning\n"
    assert ann.json("apply", "-f", file) == {"created": [], "changed": [], "same": ["Doorbell", "Morning"]}


def test_what_is_exported_can_be_applied(ann, write):
    ann.ok("apply", "-f", write([DOORBELL, MORNING]))
    exported = ann.ok("export")
    assert ann.ok("apply", "-f", write(exported)) == "same     Doorbell\nsame     Morning\n"
    assert yaml.safe_load(exported) == json.loads(ann.ok("export", "--json"))
    assert ann.ok("apply", "-f", write(ann.ok("export", "--json"), "areas.json")).count("same") == 2
    assert ann.ok("apply", "-f", "-", typed=exported).count("same") == 2


def test_a_dry_run_says_what_would_be_done_and_does_nothing(ann, write):
    file = write([DOORBELL])
    assert ann.ok("apply", "-f", file, "--dry-run") == "created  Doorbell\n"
    assert ann.json("export")["areas"] == []
    broken = write([{**DOORBELL, "reaction": {"component": "inbox.post"}}])
    assert "title is required" in ann.refuses("apply", "-f", broken, "--dry-run")


def test_of_a_file_with_one_that_can_not_be_used_nothing_is_applied(ann, write):
    wrong = {**MORNING, "action": {"component": "timer.daily_timer", "parameters": {"time": "25:00"}}}
    assert "action.parameters.time" in ann.refuses("apply", "-f", write([DOORBELL, wrong]))
    assert ann.json("export")["areas"] == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("areas: 7", "must hold a list"),
        ("7", "must hold a list"),
        ("a: [", "neither YAML nor JSON"),
        ('{"areas": [}', "neither YAML nor JSON"),
        ("- name: A", "AREA 1 (A): action: Field required"),
        ("- 7", "AREA 1 (None)"),
        ([DOORBELL, DOORBELL], "AREA 2 (Doorbell): another AREA in the file"),
        ([{**DOORBELL, "colour": "red"}], "AREA 1 (Doorbell): colour"),
        ([{**DOORBELL, "action": {"component": "webhook.receive"}}], "did you mean"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_a_sentence(ann, write, content, sentence):
    assert sentence in ann.refuses("apply", "-f", write(content))


def test_a_file_that_is_not_there_or_no_text(ann, tmp_path):
    assert "No such file" in ann.refuses("apply", "-f", str(tmp_path / "none.yaml"))
    (tmp_path / "picture").write_bytes(b"\xff\xfe\x00")
    assert "isn't UTF-8 text" in ann.refuses("apply", "-f", str(tmp_path / "picture"))


def test_of_several_accounts_one_must_be_named(area, write):
    file = write([DOORBELL])
    assert "No accounts yet" in area.refuses("apply", "-f", file)
    area.user("ann")
    area.user("bob")
    assert "--user" in area.refuses("apply", "-f", file)
    area.ok("apply", "-f", file, "--user", "bob@example.org")
    assert area.json("export", "--user", "ann")["areas"] == []
    assert [area_view["name"] for area_view in area.json("export", "--user", "2")["areas"]] == ["Doorbell"]


def test_a_chain_is_applied_exported_run_and_listed(ann, write):
    post = {"component": "inbox.post", "parameters": {"title": "{{result.notice_id}}"}}
    chain = {**DOORBELL, "then": [{"name": "Then", "when": "any", "reaction": post}]}
    assert ann.ok("apply", "-f", write([chain])) == "created  Doorbell\ncreated  Then\n"
    exported = yaml.safe_load(ann.ok("export"))["areas"]
    assert exported[0]["then"] == [{"name": "Then", "when": "any", "reaction": {**post, "connection": None}}]
    twice = {**chain, "then": [*chain["then"], *chain["then"]]}
    assert "another AREA in the file has the same name" in ann.refuses("apply", "-f", write([twice]))
    assert ann("run", "Doorbell", "--follow", "--wait", "0").exit_code == 1  # nobody runs it
    (run,) = ann.json("runs")
    assert (run["area_name"], run["status"], run["executions"]) == ("Doorbell", "pending", 1)
    assert ann.ok("runs", str(run["id"])) == f"… {run['id']} Doorbell: pending\n"
