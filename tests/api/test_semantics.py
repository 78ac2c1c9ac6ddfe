"""What HTTP promises (RFC 9110): methods, preconditions, codings and media types; and what is refused for a typo."""

import gzip
import json
import re
import sys

import pytest
from sqlalchemy import text
from tests.api.test_routes import AREA

from area.api import make_api
from area.api.areas import etag
from area.areas.views import AreaOut
from area.settings import Settings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
async def area(people):
    return (await people.user.post("/api/areas", AREA)).json()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/areas", "GET, HEAD, POST"),
        ("/api/areas/1", "DELETE, GET, HEAD, PATCH"),
        ("/api/me", "DELETE, GET, HEAD, PATCH"),
        ("/api/auth/login", "POST"),
        ("/api/auth/locker/callback", "GET"),
    ],
)
async def test_a_refused_method_names_all_others(nobody, path, allowed):
    answer = await nobody.request("TRACE", path)
    assert (answer.status, answer.header("allow")) == (405, allowed)


async def test_head_is_get_without_a_body(people, area):
    for path in ("/api/areas", f"/api/areas/{area['id']}", "/api/services", "/api/nothing"):
        head, get = await people.user.request("HEAD", path), await people.user.get(path)
        assert (head.status, head.body) == (get.status, b"")
        for name in ("content-type", "etag"):
            assert head.header(name) == get.header(name)
    assert (await people.user.request("HEAD", "/api/executions/stream")).status == 200, "it ends at once"
    assert (await people.user.request("HEAD", "/api/areas/1/run")).status == 405
    assert (await people.user.request("HEAD", "/api/auth/locker/callback")).status == 405, "a GET there ends something"


async def test_an_area_is_changed_only_as_the_client_knows_it(people, area):
    path = f"/api/areas/{area['id']}"
    first = (await people.user.get(path)).header("etag")
    assert first == etag(AreaOut.model_validate(area))
    second = await people.user.patch(path, {"name": "second"}, headers={"if-match": first})
    assert (second.status, second.json()["name"]) == (200, "second")
    assert second.header("etag") != first
    for tags in (first, f"W/{second.header('etag')}", '"x", "y"'):
        refused = await people.user.patch(path, {"name": "third"}, headers={"if-match": tags})
        assert (refused.status, refused.json()["code"]) == (412, "precondition-failed")
    for method, more in (("DELETE", ""), ("POST", "/enable"), ("POST", "/disable")):
        assert (await people.user.request(method, path + more, headers={"if-match": first})).status == 412
    assert (await people.user.get(path)).json()["name"] == "second"
    fine = {"if-match": f'"x", {second.header("etag")}'}
    assert (await people.user.patch(path, {"name": "third"}, headers=fine)).status == 200
    assert (await people.user.patch(path, {"name": "fourth"}, headers={"if-match": "*"})).status == 200
    assert (await people.user.delete("/api/areas/999999", headers={"if-match": "*"})).status == 404


async def test_the_version_in_a_patch_is_a_precondition(people, area):
    path = f"/api/areas/{area['id']}"
    reaction = {"component": "hall.say", "parameters": {"item": "new"}}
    changed = await people.user.patch(path, {"reaction": reaction, "version": 1})
    assert (changed.status, changed.json()["version"]) == (200, 2)
    assert (await people.user.patch(path, {"reaction": reaction, "version": 1})).status == 412
    assert (await people.user.patch(path, {"name": "x", "version": 2})).status == 200


async def test_runs_do_not_change_the_tag(people, area, state):
    path = f"/api/areas/{area['id']}"
    before = (await people.user.get(path)).header("etag")
    async with state.database.transaction() as session:
        await session.execute(text("update areas set triggered_count = 7, last_triggered_at = timezone('utc', now())"))
    after = await people.user.get(path)
    assert (after.json()["triggered_count"], after.header("etag")) == (7, before)


@pytest.mark.parametrize("name", ["name", "is_active", "action", "reaction"])
async def test_what_can_not_be_null_is_refused(people, area, name):
    refused = await people.user.patch(f"/api/areas/{area['id']}", {name: None})
    assert (refused.status, refused.json()["errors"][0]["field"]) == (422, name)
    assert (await people.user.patch(f"/api/areas/{area['id']}", {"description": None})).status == 200


async def test_areas_of_a_state_go_in_pages(people):
    made = [(await people.user.post("/api/areas", {**AREA, "name": f"A{place}"})).json()["id"] for place in range(5)]
    for number in made[::2]:
        await people.user.post(f"/api/areas/{number}/disable")
    first = (await people.user.get("/api/areas", params={"state": "off", "limit": 2})).json()
    assert [area["id"] for area in first["items"]] == [made[4], made[2]]
    rest = {"state": "off", "limit": 2, "cursor": first["next_cursor"]}
    second = (await people.user.get("/api/areas", params=rest)).json()
    assert ([area["id"] for area in second["items"]], second["next_cursor"]) == ([made[0]], None)
    both = await people.user.get("/api/areas", params={"state": ["off", "never_fired"]})
    assert len(both.json()["items"]) == 5
    assert (await people.user.get("/api/areas", params={"state": "of"})).status == 422


async def test_unknown_query_parameters_are_refused(people, nobody):
    refused = await people.user.get("/api/executions", params={"statsu": "failed"})
    assert refused.status == 422
    assert refused.json()["errors"] == [{"field": "statsu", "message": 'Unknown parameter; did you mean "status"?'}]
    assert (await people.user.get("/api/areas", params={"limit": 5, "cursor": "", "_": 1})).status == 200
    assert (await people.user.post("/api/areas", AREA, params={"x": 1})).status == 422
    callback = await nobody.get("/api/auth/locker/callback", params={"iss": "https://vendor.example"})
    assert [error["field"] for error in callback.json().get("errors", [])] != ["iss"], "vendors add what they like"


async def test_a_body_is_json(people, area):
    path = f"/api/areas/{area['id']}/run"
    plain = {"content-type": "application/octet-stream"}
    assert (await people.user.request("POST", path, headers=plain)).status == 202, "there is no body"
    assert (await people.user.request("POST", path, body=b'{"data": {}}', headers=plain)).status == 415
    typed = {"content-type": "application/vnd.area+json; charset=utf-8"}
    assert (await people.user.request("POST", path, body=b'{"data": {}}', headers=typed)).status == 202


async def test_the_catalog_is_sent_once_and_compressed(people, state):
    for path in ("/api/services", "/api/components"):
        whole = await people.user.get(path)
        tag = whole.header("etag")
        assert whole.header("cache-control") == "private, no-cache"
        again = await people.user.get(path, headers={"if-none-match": f'"x", {tag}'})
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
        assert (await people.user.get(path, headers={"if-none-match": tag}, params={"q": "say"})).status == 200
        packed = await people.user.get(path, headers={"accept-encoding": "gzip, br"})
        assert packed.header("content-encoding") == "gzip"
        assert "accept-encoding" in packed.header("vary").lower()
        assert gzip.decompress(packed.body) == whole.body
        packed = await people.user.get(path, headers={"accept-encoding": "gzip, zstd"})
        assert packed.header("content-encoding") == "zstd"
        assert zstd.decompress(packed.body) == whole.body
        refused = await people.user.get(path, headers={"accept-encoding": "gzip;q=0"})
        assert (refused.header("content-encoding"), refused.body) == (None, whole.body)
        async with state.database.transaction() as session:
            await session.execute(text("update components set description = description || '!'"))
        assert (await people.user.get(path, headers={"if-none-match": tag})).status == 200


async def test_the_catalog_in_short_and_searched(people):
    services = (await people.user.get("/api/services")).json()["items"]
    short = (await people.user.get("/api/services", params={"short": True})).json()["items"]
    assert [service["slug"] for service in short] == [service["slug"] for service in services]
    components = [part for service in short for part in (*service["actions"], *service["reactions"])]
    assert set(components[0]) == {"id", "key", "service", "type", "name", "title", "kind"}
    lines = (await people.user.get("/api/components", params={"short": True})).json()["items"]
    assert sorted(line["id"] for line in lines) == sorted(part["id"] for part in components)
    for more in ({}, {"short": True}):
        items = (await people.user.get("/api/components", params={"q": "HALL say", **more})).json()["items"]
        assert [component["key"] for component in items] == ["hall.say"]
        (hall,) = (await people.user.get("/api/services", params={"q": "hall.say", **more})).json()["items"]
        assert ([part["key"] for part in hall["reactions"]], hall["actions"]) == (["hall.say"], [])


async def test_other_origins_call_with_a_token_if_they_are_listed(state, people):
    state.settings = state.settings.model_copy(update={"cors_origins": "https://app.example.org"})
    person = people.user.as_(people.user.token)
    person.app = make_api(state)
    preflight = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization,if-match"}
    answer = await person.request("OPTIONS", "/api/areas/1", headers={"origin": "https://app.example.org", **preflight})
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "https://app.example.org")
    answer = await person.get(
        "/api/areas", headers={"origin": "https://app.example.org", "sec-fetch-site": "cross-site"}
    )
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "https://app.example.org")
    assert answer.header("access-control-allow-credentials") is None
    assert "ETag" in answer.header("access-control-expose-headers")
    answer = await person.get("/api/areas", headers={"origin": "https://other.example.org"})
    assert answer.header("access-control-allow-origin") is None
    answer = await people.user.get("/api/areas", headers={"origin": "https://app.example.org"})
    assert answer.header("access-control-allow-origin") is None, "off by default"


@pytest.mark.parametrize("wrong", ["app.example.org", "https://app.example.org/", "ftp://a.example"])
def test_what_is_no_origin_is_refused(wrong):
    with pytest.raises(ValueError, match="is not an origin"):
        Settings(cors_origins=wrong)


async def test_several_areas_at_once(people):
    ids = [(await people.user.post("/api/areas", AREA | {"name": name})).json()["id"] for name in "abc"]
    theirs = (await people.other.post("/api/areas", AREA)).json()["id"]
    done = await people.user.post("/api/areas/bulk", {"ids": [*ids, ids[0]], "action": "disable"})
    assert done.json() == {"changed": 3}
    assert not [area for area in (await people.user.get("/api/areas")).json()["items"] if area["is_active"]]
    assert (await people.user.post("/api/areas/bulk", {"ids": [ids[0], theirs], "action": "delete"})).status == 404
    assert len((await people.user.get("/api/areas")).json()["items"]) == 3, "all or none"
    exported = (await people.user.get("/api/areas/export", params={"id": ids[:2]})).json()["areas"]
    assert [area["name"] for area in exported] == ["a", "b"]
    assert (await people.user.post("/api/areas/bulk", {"ids": ids, "action": "delete"})).json() == {"changed": 3}
    assert (await people.user.get("/api/areas")).json()["items"] == []


async def test_several_executions_at_once(people, area, state):
    path = f"/api/areas/{area['id']}/run"
    runs = [(await people.user.post(path)).json()["execution_id"] for _ in range(3)]
    cancelled = (await people.user.post("/api/executions/cancel", {"ids": runs[:2]})).json()
    assert cancelled == {"cancelled": runs[:2], "left_out": []}
    assert (await people.user.post("/api/executions/cancel", {"ids": runs[:1]})).json()["left_out"] == runs[:1]
    replayed = (await people.user.post("/api/executions/replay", {"ids": runs})).json()
    assert (sorted(map(int, replayed["started"])), replayed["left_out"]) == (runs[:2], runs[2:])
    assert (await people.other.post("/api/executions/replay", {"ids": runs})).status == 404
    figures = (await people.user.get(f"/api/areas/{area['id']}/figures", params={"by": "day"})).json()["items"]
    assert (len(figures), figures[-1]["other"]) == (30, 5)


async def test_an_execution_shows_the_parameters_that_its_reaction_got(people, area):
    number = (await people.user.post(f"/api/areas/{area['id']}/run", {"data": {"title": "Ding"}})).json()[
        "execution_id"
    ]
    assert (await people.user.get(f"/api/executions/{number}")).json()["parameters"] == {"item": "Ding"}
    cancelled = (await people.user.post(f"/api/executions/{number}/cancel")).json()
    assert cancelled["parameters"] == {"item": "Ding"}
    provided = {"parameters": {"item": "Dong"}}
    again = (await people.user.post(f"/api/executions/{number}/replay", provided)).json()["execution_id"]
    assert (await people.user.get(f"/api/executions/{again}")).json()["parameters"] == {"item": "Dong"}


def test_the_document_makes_a_good_client():
    """Operation ids are method names, and no two schemas or operations share a name."""
    document = make_api().openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z0-9]+){0,6}", name) for name in ids), ids
    assert {"list_areas", "get_area", "create_area", "change_area", "delete_area", "run_area"} <= set(ids)
    schemas = document["components"]["schemas"]
    assert not [name for name in schemas if "__" in name], "two models have one name"
    titles = [schema["title"] for schema in schemas.values() if "title" in schema]
    assert len(titles) == len(set(titles))
    assert document["servers"]
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert {tag for operation in operations for tag in operation["tags"]} == set(tags)
    assert json.dumps(document)
