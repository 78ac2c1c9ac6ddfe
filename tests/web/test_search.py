"""The search for components: what people ask for, and what it finds."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from area.catalog.search import Index, components, index
from area.registry import Malformed, Registry, load
from area.sdk import Service
from area.web.editor.sides import ANY_SERVICE

QUERIES = yaml.safe_load(Path(__file__).with_name("queries.yaml").read_text())
LEAST, FIRST = 0.95, 3
REGISTRY = load()


def test_what_people_ask_for_is_among_the_first_three(capsys):
    missed, count = [], 0
    for lang in ("en", "fr"):
        for kind, queries in QUERIES[lang].items():
            for q, wanted in queries.items():
                assert all(getattr(REGISTRY, kind)(key) for key in wanted), (q, wanted)
                count += 1
                found = index(REGISTRY, kind, lang).search(q).keys[:FIRST]
                if not set(wanted) & set(found):
                    missed.append(f"{lang}, {kind}: {q!r} found {', '.join(found) or 'nothing'}")
    share = 1 - len(missed) / count
    with capsys.disabled():
        print(f"\n{share:.1%} of {count} queries found what they ask for among the first {FIRST}", *missed, sep="\n")
    assert count >= 200
    assert share >= LEAST


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.parametrize("kind", ["action", "reaction"])
def test_a_service_that_nobody_knows_is_told(lang, kind):
    for q in QUERIES["nothing"][lang][kind]:
        assert index(REGISTRY, kind, lang).search(q).unknown, q


@pytest.mark.parametrize("kind", ["action", "reaction"])
def test_what_reaches_any_service_is_there(kind):
    assert all(getattr(REGISTRY, kind)(key) for key in ANY_SERVICE[kind])


def test_spelling():
    actions = index(REGISTRY, "action", "en")
    assert actions.search("gmial atachment").corrected == "gmail attachment"
    assert actions.search("gmail attachment").corrected == ""
    print_ = index(REGISTRY, "reaction", "en").search("print")  # which is no misspelled "point"
    assert (print_.corrected, print_.unknown) == ("", ("print",))
    assert actions.search("tempurature").corrected == "temperature"
    far = actions.search("shedulle")
    assert far.keys or far.suggestion == "schedule"


def test_odd_queries():
    actions = index(REGISTRY, "action", "en")
    assert actions.search("").keys == actions.search("  ?!").keys == ()
    assert len(actions.search("mail " * 10_000).keys) > 0
    assert actions.search("MAIL").keys == actions.search("máil").keys == actions.search("mail").keys
    assert actions.search("\0 \ud800 %s {{}}").keys == ()
    assert actions.search("attachment mail").keys[:3] == actions.search("mail attachment").keys[:3]


def test_a_connector_without_synonyms_is_found():
    services = {slug: replace(service, synonyms={}) for slug, service in REGISTRY.services.items()}
    plain = Registry(services, REGISTRY.folders)
    assert Index(components(plain, "action", "en"), "en").search("dusk").keys == ()
    assert "rss.new_item" in Index(components(plain, "action", "en"), "en").search("feed").keys[:3]
    assert "rss.new_item" in Index(components(plain, "action", "fr"), "fr").search("flux").keys[:3]


def test_a_service_that_cant_be_used_comes_a_little_later():
    reactions = index(REGISTRY, "reaction", "en")
    assert reactions.search("send an e-mail", behind={"gmail", "outlook"}).keys[0] == "email.send_email"
    assert reactions.search("gmail", behind={"gmail"}).keys[0].startswith("gmail.")


def test_synonyms_of_a_component_that_isnt_there():
    service = Service("shop", "Shop", "Sells.", synonyms={"sold": "sale"})
    with pytest.raises(Malformed, match="no component 'sold'"):
        Registry().add(service)


def test_the_command_line_loads_no_search():
    code = "import sys, area.cli; sys.exit(bool({'snowballstemmer', 'rapidfuzz'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
