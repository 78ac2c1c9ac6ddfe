# ruff: noqa: RUF001
"""Errors in the caller's language: what the user has chosen, else what the request accepts, else English."""

import pytest
from tests.api.conftest import is_problem

from area import areas

FRENCH = {"accept-language": "fr-CA, fr;q=0.9, en;q=0.5"}
FOUND = {"component": "hall.found", "parameters": {"place": "hall"}}
SAY = {"component": "hall.say", "parameters": {"item": "x"}}


@pytest.fixture
async def francophone(people):
    assert (await people.user.patch("/api/me", {"language": "fr"})).status == 200
    return people.user


async def test_nobody_is_answered_in_what_they_accept(nobody):
    french = await nobody.get("/api/nothing", headers=FRENCH)
    assert is_problem(french, 404)["detail"] == "Il n’y a rien à cette adresse."
    assert french.header("content-language") == "fr"
    assert "Accept-Language" in french.header("vary")
    english = await nobody.get("/api/nothing", headers={"accept-language": "de"})
    assert is_problem(english, 404)["detail"] == "Nothing exists at this address."
    assert english.header("content-language") == "en"
    refused = await nobody.post("/api/auth/login", {"login": 1}, headers=FRENCH)
    fields = {error["field"]: error["message"] for error in is_problem(refused, 422)["errors"]}
    assert fields["login"] == "La valeur doit être un texte"
    assert fields["password"] == "Champ obligatoire"


async def test_the_users_choice_goes_before_what_is_accepted(francophone):
    answer = await francophone.get("/api/areas/4242", headers={"accept-language": "en"})
    result = is_problem(answer, 404)
    assert (result["detail"], result["title"], result["code"]) == (
        "L’AREA 4242 n’existe pas.",
        "Introuvable",
        "not-found",
    )
    assert answer.header("content-language") == "fr"
    assert answer.header("vary") is None, "it depends on who asks alone"


async def create(user, *, action=None, reaction=None):
    expected = {"name": "x", "action": FOUND | (action or {}), "reaction": SAY | (reaction or {})}
    return {
        error["field"]: error["message"] for error in is_problem(await user.post("/api/areas", expected), 422)["errors"]
    }


async def test_fields_of_an_area(francophone):
    errors = await create(francophone, reaction={"parameters": {"itm": "x"}})
    assert list(errors.values()) == [
        "hall.say n’a pas de paramètre «\u00a0itm\u00a0»\u00a0; vouliez-vous dire «\u00a0item\u00a0»\u00a0?"
    ]
    errors = await create(
        francophone,
        action={"parameters": {"only_if": "title = 'x'"}},
        reaction={"parameters": {"item": "{{title | uper}}"}},
    )
    assert errors == {
        "action.parameters.only_if": "Colonne 7\u00a0: au lieu de «\u00a0=\u00a0», écrivez ==.",
        "reaction.parameters.item": "Colonne 11\u00a0: le filtre «\u00a0uper\u00a0» n’existe pas\u00a0; vouliez-vous dire"
        " «\u00a0upper\u00a0»\u00a0?",
    }
    errors = await create(francophone, action={"component": "hall.fund"})
    assert errors["action.component"].startswith("L’action «\u00a0hall.fund\u00a0» n’existe pas")
    errors = await create(francophone, reaction={"parameters": {}})
    assert errors == {"reaction.parameters.item": "item est obligatoire\u00a0: What to put in."}, (
        "a connector's own words stay"
    )


async def test_conflicts_and_limits(francophone, monkeypatch):
    form = {"name": "x", "action": FOUND, "reaction": SAY}
    created = await francophone.post("/api/areas", form)
    assert created.status == 201, created.body
    conflict = await francophone.post(f"/api/areas/{created.json()['id']}/renew-address")
    assert is_problem(conflict, 409)["detail"] == "L’action de cette AREA n’a pas d’adresse de webhook."
    monkeypatch.setattr(areas, "MAX_STORED", 10)
    long = form | {"reaction": SAY | {"parameters": {"item": "y" * 5000}}}
    result = is_problem(await francophone.post("/api/areas", long), 429)
    assert result["detail"].startswith("Les paramètres de vos AREA dépasseraient 10 caractères.")


async def test_a_dry_run_says_why_not(francophone):
    form = {"name": "x", "action": FOUND | {"parameters": {"only_if": "size > 99"}}, "reaction": SAY}
    tried = await francophone.post("/api/areas/test", {"area": form})
    assert tried.json()["why"] == "Cet événement ne remplit pas la condition.", tried.body
