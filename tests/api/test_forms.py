"""Every form of the pages, sent empty, half and odd: an answer that says what is wrong, never a 500."""

from urllib.parse import urlencode

import pytest
import pytest_asyncio
from fastapi.routing import iter_route_contexts
from tests.api.conftest import PASSWORD, Client

from area.api import attach
from area.engine.cache import Cache
from area.web import make_web

PLACES = {
    "area_id": "{area}",
    "execution_id": "{run}",
    "session_id": "{session}",
    "token_id": "{token}",
    "invitation_id": "{invitation}",
    "user_id": "{other}",
    "service_id": "{service}",
    "component_id": "{component}",
    "provider": "vendor",
    "service": "locker",
    "slug": "locker",
    "name": "hall",
}
ODD = [
    {},
    {"x": "1"},
    {"name": ""},
    {"username": "a", "email": "b", "language": "xx", "timezone": "Nowhere"},
    {"name": "n" * 400, "scope": "all", "expires_at": "never", "password": PASSWORD},
    {"do": "password", "on": "maybe", "days": "-1", "action": "x", "reaction": "y", "parameters": "["},
    {"password": "\x00" * 5, "new_password": "\udcff", "current_password": "p" * 3000, "login": "\x00", "next": "//x"},
    {"code": "abc", "passkey": "{", "credential": "[]", "setup": "x", "ticket": "y"},
    {"code": "1" * 5000, "passkey": '{"id": 1}', "setup": "v1.aa.bb", "ticket": "x.y", "name": "\u202e"},
]


def paths(app):
    return sorted(context.path for context in iter_route_contexts(app.routes) if "POST" in (context.methods or ()))


@pytest_asyncio.fixture
async def pages(state, people):
    app = make_web(state, Cache(state))
    attach(app, state)
    yield app
    await app.state.hub.close()


@pytest_asyncio.fixture
async def things(people):
    """What addresses may name: things of other people, so that they stay for the next form."""
    return {
        "area": 1,
        "run": 1,
        "session": 1,
        "token": 1,
        "invitation": "0" * 16,
        "other": people.ids["other"],
        "service": 1,
        "component": 1,
    }


async def send(client, path, form, **headers):
    body = urlencode(form, errors="surrogatepass").encode()
    sent = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", **headers}
    return await client.request("POST", path, body=body, headers=sent)


async def test_no_form_is_a_500(pages, people, things, state):
    results = []
    for path in paths(pages):
        address = path
        for name, value in PLACES.items():
            address = address.replace("{" + name + "}", value.format(**things))
        for form in ODD:
            for more in ({}, {"hx-request": "true"}):
                for who in ("admin", "user"):
                    # ended by one of the forms, perhaps
                    token = getattr(people, who).token
                    cookie = {"cookie": f"area_session={token}"}
                    answer = await send(Client(pages), address, form, **cookie, **more)
                    if answer.status >= 500:
                        results.append((path, form, more, who, answer.status))
                    if path == "/sign-out":
                        people = people.__class__(
                            **{text: await again(state, people, text) for text in ("admin", "user", "other")},
                            ids=people.ids,
                        )
    assert not results, results


async def again(state, people, who):
    from area.accounts import sessions

    async with state.database.transaction() as session:
        token = await sessions.open_session(session, state.settings, people.ids[who], name="x", address="x")
    return getattr(people, who).as_(token)


@pytest.mark.parametrize(
    ("path", "field"), [("/profile", "username"), ("/profile/email", "email"), ("/profile/tokens", "name")]
)
async def test_a_form_without_its_fields_is_shown_again(pages, people, path, field):
    answer = await send(Client(pages), path, {"x": "1"}, cookie=f"area_session={people.user.token}")
    assert answer.status == 422
    assert f'name="{field}"' in answer.body.decode()
