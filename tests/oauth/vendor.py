"""The services of these tests: one that is connected at the authorization server, one that fires. Used by a second
process too.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr

from area.engine.runtime import Worker
from area.engine.state import State
from area.kit.keys import Keys
from area.kit.logs import configure
from area.registry import Registry
from area.sdk import Account, Context, Event, OAuth2, Quirks, Service
from area.settings import Settings

KEY = "a-test-key-of-more-than-32-characters"
SECRET = "the client's secret: /+ %"
MACHINE = "a-machine"  # a client that acts in its own name
PUBLIC = "http://testserver.localhost"


class Text(BaseModel):
    """What to tell."""

    text: str = Field(description="What to tell", examples=["{{title}}"])


class Told(BaseModel):
    """Whom it was told."""

    sub: str = Field(description="Who", examples=["ann"])


class Item(BaseModel):
    """What appeared."""

    title: str = Field(description="Title", examples=["Hello"])


class Nothing(BaseModel):
    """No parameters."""


def service(issuer: str) -> Service:
    """A service that is connected at the authorization server."""

    async def account(ctx: Context) -> Account:
        claims = await ctx.http.get("/me")
        return Account(
            id=claims["sub"],
            name=claims.get("name", claims["sub"]),
            email=claims.get("email"),
            email_verified=claims.get("email_verified") is True,
        )

    vendor = Service(
        "vendor", "Vendor", "A vendor for these tests", base_url=issuer,
        auth=OAuth2(
            f"{issuer}/auth", f"{issuer}/token", account,
            scopes=("openid", "offline_access", "profile"), login_scopes=("openid", "email", "profile"),
            revoke_url=f"{issuer}/token/revocation", quirks=Quirks(authorize_params={"prompt": "consent"}),
        ),
    )  # fmt: skip

    @vendor.reaction("Tell", scopes=("write",))
    async def tell(ctx: Context, params: Text) -> Told:
        assert ctx.credential is None
        return Told(sub=(await ctx.http.get("/me"))["sub"])

    @vendor.poll("Somebody is seen", every=timedelta(hours=1))
    async def seen(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Item]]:
        yield Event(id="1", data=Item(title=(await ctx.http.get("/me"))["sub"]))

    return vendor


def registry(issuer: str) -> Registry:
    probe = Service("probe", "Probe", "Fires when it is told to")

    @probe.poll("An item appears", every=timedelta(hours=1))
    async def item(ctx: Context, params: Nothing, since: datetime) -> AsyncIterator[Event[Item]]:
        for entry in ():
            yield entry

    result = Registry()
    result.add(service(issuer))
    result.add(probe)
    return result


def settings(issuer: str, data_dir: Path, **more) -> Settings:
    keys = Keys("area", SecretStr(SECRET))
    values = {
        "secret_key": KEY, "public_url": PUBLIC, "data_dir": data_dir, "allow_private_network": "127.0.0.1",
        "clients": {"vendor": keys}, "oidc_issuer": issuer, "oidc_client_id": "area", "oidc_client_secret": SECRET,
    }  # fmt: skip
    return Settings(_env_file=None, **(values | more))


async def open_state(dsn: str, issuer: str, data_dir: Path, **more) -> State:
    state = await State.open(settings(issuer, data_dir, **more), dsn)
    state.registry = registry(issuer)
    return state


async def main(dsn: str, issuer: str, data_dir: str) -> None:
    """A worker, until its input ends."""
    configure("json", "info")
    state = await open_state(dsn, issuer, Path(data_dir))
    stop = asyncio.Event()
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stop.set())
    await Worker(state).run(stop)
    await state.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
