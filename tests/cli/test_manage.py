"""AREAs, executions and tokens from the command line."""

import json

import pytest
from tests.cli.test_areas import DOORBELL


@pytest.fixture
def bell(area, tmp_path):
    """An AREA of ann's."""
    area.user("ann")
    (tmp_path / "areas.json").write_text(json.dumps([DOORBELL]))
    area.ok("apply", "-f", "areas.json")
    return area.json("areas", "list")[0]


def test_areas_are_listed_shown_switched_and_deleted(area, bell):
    listed = area.ok("areas", "list")
    assert bell["name"] in listed
    assert "No such AREA." in area("areas", "list", "--search", "nothing").stderr
    assert json.loads(area.ok("areas", "show", bell["name"]))["id"] == bell["id"]
    assert "is off" in area.ok("areas", "disable", str(bell["id"]))
    assert area.json("areas", "enable", bell["name"])["is_active"] is True
    area.refuses("areas", "delete", bell["name"], typed="n\n")
    assert "Deleted" in area.ok("areas", "delete", bell["name"], "--yes")
    assert "No AREA" in area.refuses("areas", "show", "1")


def test_executions_are_listed_shown_and_cancelled(area, bell):
    run = area("run", str(bell["id"]), "--data", '{"body": {"who": "Ada"}}', "--wait", "0", "--json")
    number = json.loads(run.stdout)["id"]
    (line,) = area.json("executions", "list", "--status", "pending")
    assert (line["id"], line["area_name"]) == (number, bell["name"])
    assert str(number) in area.ok("executions", "list", "--area", str(bell["id"]))
    assert area.json("executions", "list", "--status", "failed") == []
    assert "no status" in area.refuses("executions", "list", "--status", "done")
    shown = json.loads(area.ok("executions", "show", str(number)))
    assert (shown["status"], shown["trigger_data"]) == ("pending", {"body": {"who": "Ada"}})
    assert isinstance(shown["parameters"], dict)
    assert "Cancelled by you" in area.ok("executions", "cancel", str(number))
    assert "already finished" in area.refuses("executions", "cancel", str(number))
    assert "No execution" in area.refuses("executions", "show", "999999")


def test_tokens_are_created_listed_and_revoked(area):
    area.user("ann")
    answer = area.json("token", "create", "backup", "--scope", "read", "--days", "7")
    assert answer["token"].startswith("area_")
    (listed,) = area.json("token", "list")
    assert (listed["name"], listed["scope"]) == ("backup", "read")
    assert answer["token"] not in area.ok("token", "list")
    assert "no scope" in area.refuses("token", "create", "x", "--scope", "write")
    assert area.ok("token", "create", "plain").startswith("area_")
    assert "revoked" in area.ok("token", "revoke", str(listed["id"]))
    assert [token["name"] for token in area.json("token", "list")] == ["plain"]


def test_pruning_deletes_what_the_file_leaves_out(area, bell, tmp_path):
    (tmp_path / "one.json").write_text(json.dumps([DOORBELL | {"name": "other"}]))
    tried = area.json("apply", "-f", "one.json", "--prune", "--dry-run")
    assert (tried["created"], tried["deleted"]) == (["other"], [bell["name"]])
    assert [listed["name"] for listed in area.json("areas", "list")] == [bell["name"]]
    assert "deleted  " in area.ok("apply", "-f", "one.json", "--prune")
    assert [listed["name"] for listed in area.json("areas", "list")] == ["other"]


def test_accounts_and_the_catalog_print_json(area):
    created = json.loads(
        area.ok("user", "create", "a@example.org", "ann", "--password-stdin", "--json", typed="correct horse b\n")
    )
    assert (created["username"], created["is_admin"]) == ("ann", True)
    area.user("bob")
    assert area.json("user", "disable", "bob")["is_active"] is False
    assert area.json("user", "enable", "bob")["is_active"] is True
    assert area.json("user", "set-admin", "bob")["is_admin"] is True
    assert area.json("catalog", "sync")["services"] > 0
    assert area.json("keys", "rotate") == {"count": 0, "unreadable": []}
