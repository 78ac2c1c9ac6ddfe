"""Each template of the pages is valid in both languages, is imported, and does what it says."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from area.areas import bundles
from area.areas.plans import Config, compile_config, to_text
from area.areas.samples import sample_of
from area.engine import control
from area.engine.state import State
from area.kit.budget import Budget
from area.kit.http import Client
from area.kit.language import NAMES
from area.kit.pool import Place
from area.registry import registry
from area.sdk.fields import by_name
from area.settings import Settings
from area.web.templates.examples import FIRST, GROUPS, templates

from .conftest import make_user, offer, rows, settled, until, worker

EVERY = templates("en")
BODY = {"id": 7, "email": "ann@example.org", "subject": "Roof", "title": "Paint", "priority": "urgent"}
ANSWERS = {
    "/orders/7": {"lines": ["bolt", "nut"]},
    "/people": {"name": "Ann"},
    "/v1/search": {"results": [{"name": "Paris", "latitude": 48.85, "longitude": 2.35, "population": 2_138_551}]},
    "/v1/forecast": {
        "current": {
            "time": 1764576000, "temperature_2m": 7.5, "relative_humidity_2m": 80, "apparent_temperature": 5.1,
            "precipitation": 0, "weather_code": 3, "wind_speed_10m": 11.2, "wind_gusts_10m": 25.9,
        },
        "hourly": {"time": [1764576000], "uv_index": [0.5]},
    },
}  # fmt: skip
# what the templates that need no account post to the inbox
NOTICES = {
    *("1 EUR = 1.2035 USD", "Ada Lovelace", "Good morning, it is Monday"),
    *(
        "A request was not forwarded",
        "Is it done? Paint",
        "It is 26.3 ° in Paris, Île-de-France, France",
        "It is now 19.9",
        "Paris: Overcast",
    ),
    *("My YC app: Dropbox - Throw away your USB drive", "POST from my webhook", "Paint", "Python 3.14.2 is out"),
    *("Paris, Île-de-France, France: Moderate rain", "Rain in Paris, Île-de-France, France", "Roof", "Urgent: Roof"),
    *("Team meeting starts soon", "The website is down", "Time for your weekly review", "ann@example.org"),
    *("bitcoin: 67187.3358936566 usd", "bolt", "norvig wrote about it", "nut"),
}


def needed(component, given):
    """The parameters, and the example of each that the user has to fill in."""
    declared = by_name(component.params)
    left = {
        name: field
        for name, field in declared.items()
        if name not in given and component.params.model_fields[name].is_required()
    }
    return {**given, **{name: field.placeholder for name, field in left.items()}}


def filled(area):
    """The AREA as its user saves it."""
    parts = {
        "action": (area.action, registry().action(area.action.component)),
        "reaction": (area.reaction, registry().reaction(area.reaction.component)),
    }
    update = {
        side: part.model_copy(update={"parameters": needed(component, part.parameters)})
        for side, (part, component) in parts.items()
    }
    return area.model_copy(update=update)


def event_of(area):
    sample = sample_of(registry(), registry().action(area.action.component))
    return {**sample, "body": BODY} if area.action.component == "webhook.received" else sample


def test_there_are_templates_for_everything():
    assert len(EVERY) >= 60
    assert {template.group for template in EVERY.values()} == set(GROUPS)
    assert set(FIRST) <= set(EVERY)
    assert sum(bool(template.area.then) for template in EVERY.values()) >= 5


@pytest.mark.parametrize("lang", NAMES)
@pytest.mark.parametrize("key", EVERY)
def test_a_template_is_valid_and_filled_from_its_event(key, lang):
    template = templates(lang)[key]
    assert template.text.endswith((".", "!"))
    if lang != "en":
        assert template.area.name != EVERY[key].area.name
        assert template.text != EVERY[key].text
    area = filled(template.area)
    texts = {
        side: {name: to_text(value) for name, value in part.parameters.items()}
        for side, part in (("a", area.action), ("r", area.reaction))
    }
    plan = compile_config(registry(), Config(area.action.component, area.reaction.component, texts["a"], texts["r"]))
    plan.fill(event_of(area), Budget())
    if key in FIRST:  # saved by one click: nothing to fill in, and nothing to connect
        assert area == template.area
        assert not any(registry().services[slug].requires_auth for slug in template.services)


class Everywhere(Client):
    """Sends requests to all hosts to one local server."""

    port = 0

    def _destination(self, target):
        return Place("127.0.0.1", self.port, tls=False)


@asynccontextmanager
async def services(requests):
    """A server in place of all services."""

    async def answer(request):
        body = await request.read()
        requests.append((request.path, orjson.loads(body) if body else None))
        status = 422 if request.path in ("/", "/events") else 200  # what two of the chains wait for
        return web.json_response(ANSWERS.get(request.path, {}), status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest_asyncio.fixture
async def state(catalog_dsn, tmp_path):
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        allow_private_network="127.0.0.1",
        max_areas=1000,
        smtp_url="smtp://127.0.0.1:1",
    )
    opened = await State.open(settings, catalog_dsn)
    yield opened
    await opened.close()


async def test_all_of_them_are_imported_and_those_that_need_no_account_run(state):
    user, requests = await make_user(state, "ann"), []
    bundle = {key: filled(template.area) for key, template in EVERY.items()}
    async with state.database.transaction() as session:
        report = await bundles.apply(session, control.scope(state), user, list(bundle.values()))
    assert set(report["created"]) == set(bundles.names_in(bundle.values()))
    assert not report["changed"]
    ids = {row["name"]: row["id"] for row in await rows(state, "select id, name from areas")}
    pool = await state.database.pool()
    await pool.execute("insert into confirmed_emails (user_id, email) select id, email from users")
    await state.client.close()
    state.client = Everywhere(state.guard)
    free = [
        key for key, one in EVERY.items() if not any(registry().services[slug].requires_auth for slug in one.services)
    ]
    async with services(requests) as state.client.port, worker(state):
        for key in free:
            await offer(state, SimpleNamespace(id=ids[bundle[key].name]), event_of(bundle[key]))

        async def over():
            await pool.execute("update pgqueuer set execute_after = now() where status = 'queued'")
            return await settled(state)

        await until(over)
    posted = await rows(state, "select title from notices")
    assert {row["title"] for row in posted} == NOTICES
    assert {("/events", to_text(BODY)), ("/orders/7", None), ("/people", None), ("/", None)} <= {
        (path, to_text(body) if body else None) for path, body in requests
    }
    refused = {ids["Check a website every ten minutes"], ids["Forward a webhook, and tell me if it fails"]}
    assert {row["area_id"] for row in await rows(state) if row["status"] != "success"} == refused
