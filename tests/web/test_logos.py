"""Logos: the connector's own, the vendor's as the build makes it, or initials; what the server answers."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import aiohttp
import hatch_build
import pytest

from area.registry import Registry, registry
from area.sdk import OAuth2, Service
from area.sdk.oauth2 import profile
from area.web.parts import logos


@pytest.fixture
def modules(tmp_path):
    """What npm brings, made up."""
    icons = tmp_path / "simple-icons" / "icons"
    icons.mkdir(parents=True)
    (tmp_path / "simple-icons" / "data").mkdir()
    brands = [{"title": "Dark", "slug": "dark", "hex": "660066"}, {"title": "Light", "slug": "light", "hex": "FFEE00"}]
    (tmp_path / "simple-icons" / "data" / "simple-icons.json").write_text(json.dumps(brands))
    for brand in brands:
        (icons / f"{brand['slug']}.svg").write_text(
            '<svg role="img" viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg"><title>X</title><path d="M0 0h9z"/></svg>'
        )
    (tmp_path / "@iconify-json" / "logos").mkdir(parents=True)
    wide = {"body": '<path d="M0 0"/>', "height": 128}
    collection = {"icons": {"wide": wide}, "aliases": {"other": {"parent": "wide"}}, "width": 256, "height": 256}
    (tmp_path / "@iconify-json" / "logos" / "icons.json").write_text(json.dumps(collection))
    return tmp_path


def test_one_colour_is_the_brands_and_can_be_seen(modules):
    dark = ET.fromstring(hatch_build.logo(modules, "simple-icons", "dark"))
    assert [path.attrib for path in dark] == [{"fill": "#660066", "d": "M0 0h9z"}]
    ground, mark = ET.fromstring(hatch_build.logo(modules, "simple-icons", "light"))
    assert ground.attrib["fill"] == "#FFEE00", "too light on white"
    assert mark.attrib["fill"] == "#000"


def test_a_logo_of_many_colours_is_put_into_a_square(modules):
    for name in ("wide", "other"):
        drawn = ET.fromstring(hatch_build.logo(modules, "logos", name))
        assert drawn.attrib["viewBox"] == "0 -64 256 256"


@pytest.mark.parametrize(("kind", "name"), [("simple-icons", "none"), ("logos", "none"), ("others", "dark"), ("", "x")])
def test_a_name_that_there_is_not_stops_the_build(modules, kind, name):
    with pytest.raises(LookupError, match=name):
        hatch_build.logo(modules, kind, name)


def test_ones_own_drawing_wins_and_initials_are_the_last_resort(tmp_path):
    for folder in (None, tmp_path):
        drawn = ET.fromstring(logos.logo("my_shop", "My shop <3", folder))
        assert "".join(drawn.itertext()).strip() == "MS"
    logos.vendor.cache_clear()
    (tmp_path / "logo.txt").write_text("simple-icons:mqtt\n")
    vendors = (logos.VENDORS / "simple-icons" / "mqtt.svg").read_bytes()
    assert logos.logo("my_shop", "My shop <3", tmp_path) == vendors
    (tmp_path / "logo.svg").write_text("<svg/>")
    assert logos.logo("my_shop", "My shop <3", tmp_path) == b"<svg/>"
    logos.vendor.cache_clear()


@pytest.mark.parametrize("text", ["simple-icons:../../static/favicon", "simple-icons:nobody", "logos", ""])
def test_what_names_no_logo_is_none(tmp_path, text):
    logos.vendor.cache_clear()
    (tmp_path / "logo.txt").write_text(text)
    assert logos.vendor(tmp_path) is None
    logos.vendor.cache_clear()


def test_white_is_read_on_every_colour_of_initials():
    for colour in logos.COLOURS:
        assert 1.05 / (hatch_build._light(colour[1:]) + 0.05) >= 4.5


def test_the_logo_of_services_that_share_a_client_id_is_their_vendors():
    services = registry()
    for name in ("google", "microsoft"):
        assert logos.icon(services, name) == (logos.VENDORS / "logos" / f"{name}-icon.svg").read_bytes()
    assert logos.icon(services, "gmail") != logos.icon(services, "google")
    assert logos.icon(services, "nobody") is None
    auth = OAuth2("https://a.example/go", "https://a.example/token", profile("/me", id="id", name="name"))
    shops = Registry()
    for slug in ("shop", "stock"):
        shops.add(Service(slug, slug.title(), "What is sold.", auth=replace(auth, client="acme", vendor="Acme Inc")))
    drawn = logos.icon(shops, "acme")
    assert drawn
    assert "".join(ET.fromstring(drawn).itertext()).strip() == "AI", "no folder has it"


async def test_the_server_answers_each_logo(server):
    async with aiohttp.ClientSession(server.url) as session:
        for slug in registry().services:
            async with session.get(f"/icons/{slug}.svg") as answer:
                assert answer.status == 200
                assert answer.content_type == "image/svg+xml"
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert re.match(rb"<svg ", await answer.read())
        for name in ("nothing.svg", "mqtt", "../mqtt.svg", "mqtt.png"):
            async with session.get(f"/icons/{name}") as answer:
                assert answer.status == 404
