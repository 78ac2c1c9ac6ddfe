"""Connections that are forms: where the user's server is, and whether it lets them in."""

from typing import Annotated

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from area.sdk import Access, Credentials, Permanent, Retry, Service, asked
from area.sdk.forms import server, tried
from area.sdk.testing import Double, connector


class Login(BaseModel):
    server: Annotated[str, server("https://notes.example"), asked("Address of your server", "https://notes.example")]
    token: Annotated[SecretStr, asked("Token", "t0ken")]


def access(login: Login) -> Access:
    return Access({"Authorization": f"Bearer {login.token.get_secret_value()}"}, base_url=login.server)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://notes.example/@me?a=1", "https://notes.example"),
        (" notes.example ", "https://notes.example"),
        ("http://me:secret@notes.example:8080", "http://notes.example:8080"),
    ],
)
def test_of_an_address_the_origin_is_kept(written, kept):
    assert Login(server=written, token="t").server == kept


@pytest.mark.parametrize("written", ["ftp://notes.example", "https://", ""])
def test_what_is_no_server_is_told(written):
    with pytest.raises(ValidationError, match=r"address of a server, such as https://notes\.example"):
        Login(server=written, token="t")


async def test_who_is_not_let_in_is_told_so():
    login = Login(server="https://notes.example", token="t0ken")
    test = tried("/me", "{server} does not take this token.")
    service = Service("notes", "Notes", "Notes.", auth=Credentials(Login, test, access))
    async with Double(None, at=login.server) as double, connector(service, double, credential=login) as ctx:
        double.on("GET", "/me", {})
        await test(ctx, login)
        double.fails(401, {"error": "Who?"})
        with pytest.raises(Permanent, match=r"notes\.example does not take this token. .*Who"):
            await test(ctx, login)
        double.fails(503)
        with pytest.raises(Retry):
            await test(ctx, login)
