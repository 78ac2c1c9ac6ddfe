"""Which services people may log in with."""

from pydantic import BaseModel, Field, SecretStr

from area import connections, providers
from area.kit.oauth2 import Keys
from area.registry import Registry
from area.sdk import Account, Context, Credentials, OAuth2, Service
from area.settings import Settings
from tests.oauth.vendor import KEY


class Credential(BaseModel):
    """A form."""

    token: SecretStr = Field(description="Token", examples=["x"])


async def nobody_knows(ctx: Context) -> Account:
    return Account("1", "Ann")


async def no_trial(ctx: Context, credential: Credential) -> None:
    assert ctx
    assert credential


def test_people_log_in_with_a_service_that_is_connected_by_a_form(tmp_path):
    login = OAuth2(
        "https://chat.example/authorize", "https://chat.example/token", nobody_knows, login_scopes=("email",)
    )
    found = Registry()
    found.add(Service("chat", "Chat", "Talk with people", auth=Credentials(Credential, no_trial), login=login))
    found.add(Service("form", "Form", "Only a form", auth=Credentials(Credential, no_trial)))
    keys = {"secret_key": KEY, "data_dir": tmp_path, "public_url": "https://area.example"}
    without = Settings(_env_file=None, **keys)
    settings = Settings(_env_file=None, clients={"chat": Keys("id", SecretStr("s"))}, **keys)
    assert [one.provider for one in providers.offered(found, settings)] == ["chat"]
    assert providers.offered(found, without) == []
    assert providers.login_of(found.services["chat"]) is login
    assert providers.login_of(found.services["form"]) is None
    chat, _ = providers.clients(found, settings)
    assert (chat.configured, chat.redirect_uri) == (True, "https://area.example/api/auth/chat/callback")
    assert chat.variables == ["AREA_CHAT_CLIENT_ID", "AREA_CHAT_CLIENT_SECRET"]
    assert connections.connectable(found, "chat")[1] is found.services["chat"].auth
