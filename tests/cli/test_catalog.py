import pytest

from area.registry import registry


def test_the_catalog_is_listed_with_all_that_the_code_offers(area):
    printed = area.ok("catalog", "list")
    for service in registry().services.values():
        for name in (*service.actions, *service.reactions):
            assert f"{service.slug}.{name} " in printed
    services = area.json("catalog", "list")
    assert {service["slug"] for service in services} == set(registry().services)


def test_a_service_and_a_component_are_shown(area):
    assert "rss.new_item" in area.ok("catalog", "show", "rss")
    assert "rss.new_item" in area.ok("catalog", "show", "RSS and Atom feeds")
    shown = area.ok("catalog", "show", "rss.new_item")
    assert "title_contains" in shown
    assert "feed_title" in shown
    assert area.json("catalog", "show", "timer.daily_timer")["kind"] == "timer"


@pytest.mark.parametrize(("name", "meant"), [("rss.new_itm", "rss.new_item"), ("inbx", "inbox")])
def test_what_is_not_there_is_said_with_what_may_be_meant(area, name, meant):
    assert f'did you mean "{meant}"' in area.refuses("catalog", "show", name)


def test_syncing_again_changes_nothing(area):
    before = area.json("catalog", "list")
    assert "services" in area.ok("catalog", "sync")
    assert area.json("catalog", "list") == before
