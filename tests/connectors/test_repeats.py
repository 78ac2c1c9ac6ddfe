"""What becomes of a reaction that a crash cut off: each declares `on_crash="fail"`, or why a repeat is harmless."""

import inspect
import sys

import pytest

from area.registry import registry

REACTIONS = [reaction for service in registry().services.values() for reaction in service.reactions.values()]
BY_KEY = [reaction for reaction in REACTIONS if reaction.idempotent == "key"]


@pytest.mark.parametrize("reaction", REACTIONS, ids=lambda reaction: reaction.key)
def test_it_is_declared_what_a_second_attempt_does(reaction):
    assert (reaction.on_crash == "retry") == (reaction.idempotent is not None), (
        "declare idempotent='key' or 'same' if it may be tried again, or else on_crash='fail'"
    )


@pytest.mark.parametrize("reaction", BY_KEY, ids=lambda reaction: reaction.key)
def test_a_reaction_whose_attempts_are_one_says_so_to_whom_it_reaches(reaction):
    package = reaction.function.__module__
    sources = [inspect.getsource(module) for name, module in sys.modules.items() if name.startswith(package)]
    assert any(word in source for source in sources for word in ("ctx.idempotency_key", "ctx.uuid(", "ctx.platform."))
