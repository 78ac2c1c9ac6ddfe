"""Connections that are forms: what of them lets in, where the user's server is, and whether it lets them in."""

from typing import Annotated

import pytest
from pydantic import ValidationError

from area.sdk import AuthExpired, Permanent, Retry, Service, param
from area.sdk.fields import fields
from area.sdk.forms import form, secret, server, tried
from area.sdk.testing import Double, connector

AT = "https://notes.example"
TRIAL = tried("/me", "{server} does not take this token.", at="name", other="{server} keeps no notes.")
AUTH = form(
    TRIAL,
    headers={"Authorization": "Bearer {token}"},
    params={"as": "{user}"},
    base_url="{server}/api",
    server=server(AT),
    user=(Annotated[str, param("Your name", "ada")], "me"),
    token=secret("Token", "t0ken", min_length=3),
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("https://notes.example/@me?a=1", "https://notes.example"),
        (" notes.example ", "https://notes.example"),
        ("http://me:secret@notes.example:8080", "http://notes.example:8080"),
    ],
)
def test_of_an_address_the_origin_is_kept(written, expected):
    assert AUTH.model(server=written, token="t0ken").server == expected


@pytest.mark.parametrize("written", ["ftp://notes.example", "https://", ""])
def test_what_is_no_server_is_told(written):
    with pytest.raises(ValidationError, match=r"address of a server, such as https://notes\.example"):
        AUTH.model(server=written, token="t0ken")


def test_the_scheme_has_to_be_said_where_it_may_be_either():
    strict = form(TRIAL, server=server(AT, "Server", scheme="")).model
    assert strict(server=" http://notes.example/a ").server == "http://notes.example"
    for written in ("notes.example", "notes.example:8080", "ftp://notes.example"):
        with pytest.raises(ValidationError, match="address of a server"):
            strict(server=written)


def test_a_form_has_the_fields_that_are_asked():
    assert [(field.name, field.description, field.secret, field.default) for field in fields(AUTH.model)] == [
        ("server", "URL of your server", False, None),
        ("user", "Your name", False, "me"),
        ("token", "Token", True, None),
    ]
    with pytest.raises(ValidationError, match="at least 3"):
        AUTH.model(server=AT, token="t")


def test_what_lets_in_is_made_of_the_fields():
    access = AUTH.access(AUTH.model(server=AT, user="{token}", token=" t0{user}ken\n"))
    assert (access.headers, access.params) == ({"Authorization": "Bearer t0{user}ken"}, {"as": "{token}"})
    assert (access.base_url, access.secrets) == ("https://notes.example/api", ("t0{user}ken",))
    assert access.without_secrets("with t0{user}ken") == "with •••"


async def test_who_is_not_let_in_is_told_so():
    login = AUTH.model(server=AT, token="t0ken")
    service = Service("notes", "Notes", "Notes.", auth=AUTH)
    async with Double(None, at=f"{AT}/api") as double, connector(service, double, credential=login) as ctx:
        double.on("GET", "/me", {"name": "Ada"})
        await AUTH.test(ctx, login)
        assert double.asked[-1].headers["Authorization"] == "Bearer t0ken"
        double.on("GET", "/me", {"hello": 1})
        with pytest.raises(Permanent, match=r"^https://notes\.example keeps no notes\.$"):
            await AUTH.test(ctx, login)
        double.fails(401, {"error": "Who?"})
        with pytest.raises(Permanent, match=r"notes\.example does not take this token. .*Who"):
            await AUTH.test(ctx, login)
        with pytest.raises(AuthExpired, match="Who"):
            await tried("/me")(ctx, login)
        double.fails(503)
        with pytest.raises(Retry):
            await AUTH.test(ctx, login)
