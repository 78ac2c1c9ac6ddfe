"""A service that AREA is not registered at."""

from pydantic import BaseModel, Field

from area.sdk import Account, Context, OAuth2, Service


class Text(BaseModel):
    """What to say."""

    text: str = Field(description="What to say", examples=["Hello"])


async def account(ctx: Context) -> Account:
    """Nobody gets this far."""
    raise NotImplementedError


service = Service(
    "stranger", "Stranger", "AREA is not registered there", base_url="http://127.0.0.1:2", docs="https://example.org/docs",
    auth=OAuth2("http://127.0.0.1:2/authorize", "http://127.0.0.1:2/token", account, login_scopes=("openid",)),
)  # fmt: skip


@service.reaction("Say something")
async def say(ctx: Context, params: Text) -> Text:
    """Say it."""
    return params
