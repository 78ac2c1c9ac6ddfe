"""What is answered when a request can't be fulfilled, and the reference page."""

import asyncio
import re

import pytest
from sqlalchemy import text
from structlog.processors import format_exc_info
from structlog.testing import capture_logs
from tests.api.conftest import PASSWORD, is_problem

from area import audit
from area.accounts import sessions
from area.api import docs
from area.doors import body
from area.kit import logs

NAME = "AREA"


async def test_unknown_addresses_and_methods(nobody):
    for path in ("/", "/api", "/api/", "/api/nothing", "/api/me/", "/nothing"):
        assert is_problem(await nobody.get(path), 404)["code"] == "not-found"
    answer = await nobody.request("PUT", "/api/me")
    assert is_problem(answer, 405)["code"] == "method-not-allowed"
    assert answer.header("allow")


async def test_what_is_no_json(people):
    path = "/api/areas"
    for sent in (b"{", b'{"name": NaN}', b'{"name": "\\ud800"}', b"\xff", b"[" * 200 + b"]" * 200, b'{"a":1e999}'):
        answer = await people.user.request("POST", path, body=sent, headers={"content-type": "application/json"})
        problem = is_problem(answer, 400)
        assert (problem["code"], problem["errors"][0]["field"]) == ("bad-request", "body"), sent
    answer = await people.user.request("POST", path, headers={"content-type": "application/json"})
    assert is_problem(answer, 422)["errors"]
    nested = b'{"name":"x","action":{"component":"a","parameters":{"x":' + b"[" * 100 + b"]" * 100 + b"}}}"
    answer = await people.user.request("POST", path, body=nested, headers={"content-type": "application/json"})
    assert "deep" in is_problem(answer, 400)["errors"][0]["message"]
    for sent in (b'{"name":"a\\u0000b"}', b'{"a\\u0000":1}', b'{"x":[{"y":"\\u0000"}]}'):
        answer = await people.user.request("POST", path, body=sent, headers={"content-type": "application/json"})
        assert "NUL" in is_problem(answer, 400)["errors"][0]["message"]
    fine = await people.user.request(
        "POST",
        "/api/me/tokens",
        body=b'{"name":"a\\\\u0000b","password":"correct horse battery"}',
        headers={"content-type": "application/json"},
    )
    assert fine.status == 201
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        answer = await people.user.request("POST", path, body=b"{}", headers={"content-type": kind})
        assert is_problem(answer, 415)["code"] == "unsupported-media-type"


async def test_what_is_sent_is_not_repeated(nobody):
    answer = await nobody.post("/api/auth/register", {"email": "a", "username": "b", "password": ["s3cret-sent"]})
    assert is_problem(answer, 422)
    assert b"s3cret-sent" not in answer.body


async def test_control_characters_are_refused(people):
    for name in ("a\nb", "a\x1bb", "a\x7f"):
        answer = await people.user.post("/api/me/tokens", {"name": name, "password": PASSWORD})
        assert "control characters" in is_problem(answer, 422)["errors"][0]["message"]
    assert (await people.user.get("/api/executions", params={"q": "a\x00b"})).status == 422


async def test_too_large_a_body_is_a_413(people, monkeypatch):
    sent = b'{"name": "' + b"x" * body.MAX_BODY + b'"}'
    headers = {"content-type": "application/json"}
    answer = {**headers, "content-length": str(len(sent))}
    assert is_problem(await people.user.request("POST", "/api/me/tokens", body=sent, headers=answer), 413)
    assert is_problem(await people.user.request("POST", "/api/me/tokens", body=sent, headers=headers), 413)
    lied = {**headers, "content-length": "10"}
    assert is_problem(await people.user.request("POST", "/api/me/tokens", body=sent, headers=lied), 413)


async def test_what_nobody_expected_is_a_500_that_tells_nothing_but_its_name(people, monkeypatch):
    async def broken(*_args, **_more):
        raise RuntimeError("the inner truth")

    monkeypatch.setattr(sessions, "access", broken)
    with capture_logs(processors=[logs.name_request, format_exc_info]) as logged:
        answer = await people.user.get("/api/me/tokens")
    result = is_problem(answer, 500)
    assert "inner truth" not in answer.body.decode()
    assert "the inner truth" in logged[0]["exception"]
    assert logged[0]["request_id"] == result["request_id"]


async def test_a_failed_request_leaves_nothing_behind(people, state, monkeypatch):
    real = audit.record

    async def breaks_late(session, *args, **more):
        await real(session, *args, **more)
        raise RuntimeError

    monkeypatch.setattr(audit, "record", breaks_late)
    with capture_logs():
        assert (await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})).status == 500
    async with state.database.sessions() as session:
        assert await session.scalar(text("select count(*) from access_tokens where kind = 'api'")) == 0


async def test_a_commit_that_fails_is_not_told_as_a_success(people, state, monkeypatch):
    async with state.database.transaction() as session:
        await session.execute(
            text("create function no() returns trigger language plpgsql as $$ begin raise 'no commit'; end $$;")
        )
        await session.execute(
            text(
                "create constraint trigger no after insert on access_tokens deferrable initially deferred"
                " for each row execute function no()"
            )
        )
    try:
        with capture_logs():
            assert is_problem(await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD}), 500)
    finally:
        async with state.database.transaction() as session:
            await session.execute(text("drop trigger no on access_tokens"))
            await session.execute(text("drop function no()"))


async def test_many_requests_at_once_do_not_wait_for_each_other_for_ever(people):
    answers = await asyncio.gather(*(people.user.get("/api/areas") for _ in range(60)))
    assert {answer.status for answer in answers} == {200}


async def test_every_answer_is_fenced(nobody, people):
    for answer in (await nobody.get("/api/nothing"), await people.user.get("/api/me")):
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("cache-control") == "no-store"
        assert "default-src 'none'" in (answer.header("content-security-policy") or "")


async def test_the_document_is_openapi_31_and_knows_every_problem(nobody):
    document = (await nobody.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        assert path.startswith("/api/"), path
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            assert operation["description"], place
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], place
            if operation.get("security") != [] and path not in ("/api/auth/login", "/api/auth/register"):
                assert "401" in operation["responses"], place


async def test_the_reference_page_needs_nothing_from_outside(nobody):
    answer = await nobody.get("/api/docs")
    page = answer.body.decode()
    assert answer.status == 200
    assert "<script" not in page
    assert " style=" not in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "POST</span><code>/api/areas/{area_id}/run" in page
    assert 'id="not-found"' in page
    policy = answer.header("content-security-policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    document = (await nobody.get("/api/openapi.json")).json()
    operations = sum(len(path) for path in document["paths"].values())
    assert page.count("<details") == operations


@pytest.mark.parametrize("wrong", ["<img src=x onerror=alert(1)>", '"><script>'])
def test_the_reference_page_escapes(wrong):
    document = {
        "info": {"title": wrong, "version": "1", "description": wrong},
        "paths": {
            wrong: {
                "get": {
                    "tags": [wrong],
                    "summary": wrong,
                    "description": wrong,
                    "parameters": [{"name": wrong, "in": "query", "schema": {"type": wrong}}],
                }
            }
        },
        "components": {"schemas": {}},
    }
    assert wrong not in docs.render(document)
