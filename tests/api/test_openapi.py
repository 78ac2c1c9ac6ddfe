"""Requests made up from the OpenAPI document, good and bad: no 5xx, and no answer that the document does not know."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import text
from tests.conftest import Copied

from area import accounts, areas, catalog
from area.accounts import sessions
from area.api import attach, make_api
from area.db.session import Database
from area.engine import control

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 6  # for each operation, beside those at the bounds of its schema

PASSWORD = "correct horse battery"

schema = schemathesis.openapi.from_dict(make_api().openapi())
ids: dict[str, int | str] = {"service": "locker", "name": "hall"}


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Every other time what is really there, or hardly any request would find something."""
    for name, value in (path_parameters or {}).items():
        if name in ids and (value % 2 if isinstance(value, int) else len(str(value)) % 2):
            path_parameters[name] = ids[name]
    return path_parameters


@schema.hook
def map_body(context: Any, body: Any) -> Any:
    """Likewise for what an AREA is made of, a connection, a log-in."""
    if isinstance(body, dict):
        for part_of in (
            body,
            body.get("area"),
            *(body.get("areas") or () if isinstance(body.get("areas"), list) else ()),
        ):
            if isinstance(part_of, dict) and len(str(part_of)) % 3:
                for part, known in (("action", "hall.rung"), ("reaction", "hall.say")):
                    if isinstance(part_of.get(part), dict):
                        part_of[part]["component"] = known
                        part_of[part]["parameters"] = {"item": "x"} if part == "reaction" else {}
        if context.operation.path == "/api/connections/{service}" and len(body) % 2:
            body = {"host": "h", "login": "l", "password": "p"} | {
                str(key): value for key, value in list(body.items())[:1]
            }
        for name, value in (("login", "bob"), ("password", PASSWORD), ("current_password", PASSWORD)):
            if isinstance(body.get(name), str) and len(body[name]) % 2:
                body[name] = value
    return body


@pytest_asyncio.fixture(scope="module")
async def world(copied: Copied, _empty: str) -> AsyncIterator[Database]:
    """A database with an admin who has something of everything."""
    async with copied(_empty) as dsn:
        database = Database(dsn)
        async with database.transaction() as session:
            await accounts.create(session, email="a@example.org", username="ann", password=PASSWORD)
            user = await accounts.create(session, email="b@example.org", username="bob", password=PASSWORD)
            ids["user_id"] = user.id
        yield database
        await database.close()


@pytest.fixture(scope="module")
def served(world: Database, make_state: Any) -> Iterator[FastAPI]:
    """The application, living in schemathesis' own event loop."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(world.dsn)
        state = make_state(database)
        attach(app, state)
        yield
        await app.state.hub.close()
        await state.client.close()
        await database.close()

    yield make_api(lifespan=lifespan)
    shutdown_lifespans()


@pytest_asyncio.fixture
async def token(world: Database, make_state: Any) -> str:
    """The admin's session and one of each thing, new for each operation, as some operations end them."""
    state = make_state(world)
    async with world.transaction() as session:
        await session.execute(text("delete from login_attempts"))
        await session.execute(text("update services set is_active = true"))
        await session.execute(text("update components set is_active = true"))
        admin = await accounts.find(session, "ann")
        part = areas.Part(component="hall.say", parameters={"item": "{{title}}"})
        expected = areas.AreaIn(name="x", action=areas.Part(component="hall.rung"), reaction=part)
        area = await areas.create(session, control.scope(state), admin.id, expected)
        ids["area_id"] = area.id
        ids["execution_id"] = await control.run(session, state, admin.id, area.id)
        ids["service_id"] = (await catalog.service(session, state.registry, "hall")).id
        ids["component_id"] = area.component_action_id
        created = await sessions.open_session(session, state.settings, admin.id, name="x", address="x")
    await state.client.close()
    return created


@schema.exclude(path="/api/executions/stream").parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_a_surprise(case: Any, served: FastAPI, token: str) -> None:
    # the default of 10 s would be a bound on how full the machine is; a request that hangs ends by the test's own limit
    answer = case.call(app=served, headers={"Authorization": f"Bearer {token}"}, timeout=150)
    case.validate_response(answer, checks=CHECKS)
