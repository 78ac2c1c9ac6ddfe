"""What holds for every connector. A new one is found by its folder and has to pass all of this."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pydantic import BaseModel

from area.kit.clock import now
from area.registry import registry
from area.sdk import Action, Credentials, Headers, Nothing, Reaction, Refused, Request, Service
from area.sdk.fields import fields, form_fields
from area.sdk.lookups import LookupParams
from area.web.parts import logos

# a secret that nobody signed with, and a public key: https://www.rfc-editor.org/rfc/rfc8032#section-7.1
SECRET = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
LONGEST = 400  # lines of one file; what needs more is several files, or several connectors

SERVICES = list(registry().services.values())
ACTIONS = [action for service in SERVICES for action in service.actions.values()]
WEBHOOKS = [action for action in ACTIONS if action.kind == "webhook"]
COMPONENTS = [*ACTIONS, *(reaction for service in SERVICES for reaction in service.reactions.values())]

every_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.slug)
every_action = pytest.mark.parametrize("action", ACTIONS, ids=lambda component: component.key)
every_webhook = pytest.mark.parametrize("action", WEBHOOKS, ids=lambda component: component.key)
every_hint = pytest.mark.parametrize(
    "action", [action for action in ACTIONS if action.hint], ids=lambda component: component.key
)
every_component = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.key)


def folder(service: Service) -> Path:
    return registry().folders[service.slug]


def fixture_of(action: Action) -> dict:
    if not action.translated:  # made from a vendor's description, and its sample with it
        assert action.sample is not None, f"{action.key} has no sample event"
        return {"id": "made", "data": dict(action.sample)}
    path = folder(action.service) / "fixtures" / f"{action.name}.json"
    assert path.is_file(), f"{action.key} has no sample event: write {path}"
    return json.loads(path.read_text())


@every_service
def test_its_names_are_of_the_usual_form(service):
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,49}", service.slug)
    assert service.name == service.name.strip()
    assert 0 < len(service.name) <= 100
    assert len(service.description.split()) >= 3, "the description says what the service is for"
    for component in (*service.actions.values(), *service.reactions.values()):
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,99}", component.name), component.name
        assert component.title[0].isupper(), component.title
        assert not component.title.endswith("."), component.title
    assert service.actions or service.reactions


@every_service
def test_its_page_names_all_that_it_offers(service):
    page = folder(service) / "doc.md"
    assert page.is_file(), f"write {page}"
    text = page.read_text("utf-8")
    assert text.startswith("# "), "the page begins with a heading"
    components = [*service.actions.values(), *service.reactions.values()]
    missing = [component.name for component in components if component.translated and component.name not in text]
    assert not missing, f"{page} says nothing of {', '.join(missing)}"
    missing = [
        f"{component.key}: {name}"
        for component in components
        for name in component.params.model_fields
        if f"`{name}`" not in text and name not in LookupParams.model_fields  # which the SDK adds to each look-up
    ]
    assert not missing, f"{page} says nothing of the parameters {', '.join(missing)}"
    if isinstance(service.auth, Credentials):
        missing = [name for name in service.auth.model.model_fields if f"`{name}`" not in text]
        assert not missing, f"{page} does not say what to enter for {', '.join(missing)}"


@every_service
def test_its_logo_is_a_picture_and_no_program(service):
    own, named = folder(service) / "logo.svg", folder(service) / "logo.txt"
    assert own.is_file() != named.is_file(), f"draw {own}, or name the vendor's in {named}"
    if named.is_file():
        assert logos.NAMED.fullmatch(named.read_text("utf-8").strip()), "such as simple-icons:github"
        assert logos.vendor(folder(service)), "run `python hatch_build.py`"
    text = logos.logo(service.slug, service.name, folder(service)).decode()
    assert len(text) <= (16_384 if own.is_file() else 65_536)
    assert "<!" not in text, "no doctype, no entities"
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    assert width == height > 0, "a square"
    for element in root.iter():
        name = element.tag.rpartition("}")[2].lower()
        assert name not in ("script", "foreignobject", "iframe", "image", "style", "a", "animate", "set"), name
        for attribute, value in element.attrib.items():
            assert not attribute.lower().startswith("on"), attribute
            assert not re.search(r"(?i)javascript:|https?:|data:|url\((?!#)", value), value


@every_component
def test_each_field_is_described_with_an_example(component: Action | Reaction):
    models: list[type[BaseModel]] = [component.params, component.returns]
    for model in models:
        for field in fields(model):  # raises when a description is missing
            assert not field.description.endswith("."), f"{model.__name__}.{field.name}: a phrase, without a full stop"
            assert model.model_fields[field.name].examples, f"{model.__name__}.{field.name} has no example"


@every_service
def test_each_field_of_the_connection_is_described(service):
    if isinstance(service.auth, Credentials):
        assert fields(service.auth.model)


@every_action
def test_the_sample_event_is_one_that_the_action_could_return(action: Action):
    sample = fixture_of(action)
    assert isinstance(sample["id"], str)
    assert sample["id"]
    assert set(sample) <= {"id", "at", "data", "request"}
    action.returns.model_validate(sample["data"])
    assert set(sample["data"]) == set(action.returns.model_fields), "the sample has every return value"


@every_service
def test_there_is_no_sample_of_what_is_not_there(service):
    samples = {path.stem for path in (folder(service) / "fixtures").glob("*.json")}
    assert samples <= set(service.actions)


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("POST", "/hooks/x", Headers(pairs), {}, b'{"a": 1}', now())


def signed_params(action: Action) -> Iterator[BaseModel]:
    """Parameters under which requests are signed: the usual ones, or each signature that the user may choose."""
    chosen = action.params.model_fields.get("signature")
    if chosen is None:
        yield action.params.model_construct()
        return
    for choice in next(field.choices for field in fields(action.params) if field.name == "signature") or ():
        if choice != "none":
            yield action.params.model_validate({"signature": choice, "secret": SECRET})


@every_webhook
def test_what_is_not_signed_or_wrongly_is_refused(action: Action):
    verify = action.verify
    assert verify is not None
    if verify.reason and "signature" not in action.params.model_fields:
        assert len(verify.reason.split()) >= 3, "`unsigned` has a reason that users can read"
        return
    stamp = str(int(now().timestamp()))
    wrong = {"webhook_id": "1", "webhook_timestamp": stamp, "webhook_signature": "v1,AAAA"}
    if " in " in verify.name:
        wrong[verify.name.rpartition(" in ")[2]] = "sha256=" + "0" * 64
    empty = dict.fromkeys(wrong, "")
    for params in signed_params(action):
        for headers in (wrong, {}, empty):
            for secret in ("a secret that nobody signed with", ""):
                with pytest.raises(Refused):
                    verify.check(request(**headers), secret, params)


@every_hint
def test_a_hint_that_is_not_signed_or_wrongly_is_refused(action: Action):
    assert action.hint is not None
    verify = action.hint.verify or (action.service.inbound and action.service.inbound.verify)
    assert verify is not None
    assert not verify.reason, "whoever guesses nothing can still be heard"
    header = verify.name.rpartition(" in ")[2].replace("-", "_")
    for headers in ({header: "sha256=" + "0" * 64}, {header: "wrong"}, {}, {header: ""}):
        for secret in ("a secret that nobody signed with", ""):
            with pytest.raises(Refused):
                verify.check(request(**headers), secret, Nothing())


@every_service
def test_it_imports_no_other_connector_and_no_file_is_long(service):
    for path in folder(service).glob("*.py"):
        text = path.read_text("utf-8")
        count = len(text.splitlines())
        print(f"{path.parent.name}/{path.name}: {count} lines")
        if not path.name.startswith("test_"):
            assert count <= LONGEST, f"{path} has {count} lines; split it"
        for node in ast.walk(ast.parse(text)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith("area.connectors."):
                    assert name.split(".")[2] == service.slug, f"{path} imports {name}"


@every_component
def test_a_form_asks_for_what_is_required_first(component):
    declared = form_fields(component.params)
    assert [field.nullable for field in declared] == sorted(field.nullable for field in declared)
    assert [field.display_order for field in declared] == list(range(len(declared)))
    assert {field.name for field in declared} == set(component.params.model_fields)
