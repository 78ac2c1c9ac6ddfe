"""What becomes of a reaction that a crash cut off: each declares `on_crash="fail"`, or why a repeat is harmless, and is
attempted twice in its connector's tests. `area.sdk.testing.act` does that; those here have a test of their own.
"""

import ast
from pathlib import Path

import pytest

from area.registry import registry
from area.sdk.lookups import LookupParams

ROOT = Path(__file__).parent.parent.parent
REACTIONS = [reaction for service in registry().services.values() for reaction in service.reactions.values()]
REPEATED = [
    reaction for reaction in REACTIONS if reaction.idempotent and not issubclass(reaction.params, LookupParams)
]  # a look-up only reads
EMAIL, MQTT = "src/area/connectors/email/test_email.py", "src/area/connectors/mqtt/test_mqtt.py"
ENGINE = "tests/engine/test_second_attempts.py"
# they reach no vendor's double, but a server, or the platform: the test that attempts them twice
ELSEWHERE = {
    "area.run": (ENGINE, "test_a_second_attempt_leaves_what_the_first_one_left"),
    "area.pass_on": (ENGINE, "test_a_second_attempt_leaves_what_the_first_one_left"),
    "area.enable": (ENGINE, "test_a_second_attempt_leaves_what_the_first_one_left"),
    "area.disable": (ENGINE, "test_a_second_attempt_leaves_what_the_first_one_left"),
    "inbox.post": (ENGINE, "test_a_second_attempt_leaves_what_the_first_one_left"),
    "inbox.mail": ("tests/engine/test_delivery.py", "test_an_area_mails_its_owner_once_at_the_confirmed_address"),
    "email.send_email": (EMAIL, "test_what_is_sent_arrives"),
    "email.reply_to_email": (EMAIL, "test_a_reply_joins_the_conversation"),
    "email.move_email": (EMAIL, "test_a_mail_is_moved_once"),
    "email.mark_email": (EMAIL, "test_a_mail_is_marked"),
    "http.request": ("src/area/connectors/http/test_http.py", "test_idempotency_key"),
    "webhook.answer": ("tests/engine/test_results.py", "test_a_second_attempt_answers_once"),
    "mqtt.publish": (MQTT, "test_what_only_version_5_carries"),
}


@pytest.mark.parametrize("reaction", REACTIONS, ids=lambda reaction: reaction.key)
def test_it_is_declared_what_a_second_attempt_does(reaction):
    assert (reaction.on_crash == "retry") == (reaction.idempotent is not None), (
        "declare idempotent='key' or 'same' if it may be tried again, or else on_crash='fail'"
    )


@pytest.mark.parametrize("reaction", REPEATED, ids=lambda reaction: reaction.key)
def test_its_second_attempt_is_tested(reaction):
    if reaction.key in ELSEWHERE:
        path, name = ELSEWHERE[reaction.key]
        assert f"def {name}(" in (ROOT / path).read_text("utf-8")
        return
    trees = [ast.parse(path.read_text("utf-8")) for path in registry().folders[reaction.service.slug].glob("test_*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    assert any(isinstance(call.func, ast.Name) and call.func.id == "act" for call in calls)
    named = {node.value for node in nodes if isinstance(node, ast.Constant)}
    named |= {node.id for node in nodes if isinstance(node, ast.Name)}
    assert reaction.name in named, (
        "call it in its connector's tests by `area.sdk.testing.act`, or say in ELSEWHERE which test attempts it twice"
    )
