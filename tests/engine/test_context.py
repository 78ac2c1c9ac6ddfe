"""What a connector is given, by whichever way it is called."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import area
from area.connections.vault import Ref
from area.engine import access
from area.engine.cache import Cache
from area.engine.platform import UserPlatform
from area.sdk import Context, Permanent
from area.sdk.context import Platform, alone


def test_two_places_make_it():
    """A field that is added to it is thought of in these two, and not forgotten in a third."""
    sources = Path(area.__file__).parent
    contexts = {
        path.relative_to(sources).as_posix()
        for path in sources.rglob("*.py")
        if re.search(r"\bContext\(\s*http=", path.read_text()) and not path.name.startswith("test_")
    }
    assert contexts - {"cli/skeleton.py"} == {
        "engine/access.py",
        "sdk/context.py",
    }  # that one is a test which is written for others


async def test_all_of_it_is_there(state, user):
    service = state.registry.services["probe"]
    memory = {"cursor": 7}
    ctx = access.context(
        state, Cache(state).tokens, service, Ref(user, "probe"), None,
        area_id=3, chain=[1, 3], key="k", memory=memory, source=9,
    )  # fmt: skip
    assert ctx.state is memory  # what the connector leaves in it is kept
    assert (ctx.idempotency_key, ctx.guard, ctx.credential) == ("k", state.guard, None)
    assert ctx.platform == UserPlatform(state, user, 3, [1, 3], "k")
    assert ctx.log._context["source"] == 9
    nobody = access.context(state, Cache(state).tokens, service, None, None)
    assert (nobody.platform.user_id, nobody.state, nobody.idempotency_key) == (0, {}, "")
    assert {field.name for field in fields(Context)} == {
        "http", "guard", "platform", "credential", "state", "idempotency_key", "save", "log"
    }  # fmt: skip


async def test_without_an_account_the_platform_refuses(state):
    service = state.registry.services["probe"]
    ctx = alone(service.http(state.client, None), state.guard, None, Permanent("Not here."))
    methods = [name for name in vars(Platform) if not name.startswith("_")]
    assert len(methods) == 8
    for name in methods:
        with pytest.raises(Permanent, match=r"Not here\."):
            getattr(ctx.platform, name)


def test_services_are_found_by_their_names(state):
    registry = state.registry
    assert all(registry.by_name[service.name] is service for service in registry.services.values())
    assert registry.slug_of("Probe") == "probe"
    assert registry.slug_of("Gone & Forgotten") == "gone_forgotten"
