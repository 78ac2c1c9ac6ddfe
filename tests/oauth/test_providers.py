"""Which services people may log in with."""

from pydantic import BaseModel, Field, SecretStr

from area import connections
from area.accounts import providers
from area.connections import registrations
from area.kit.keys import Keys
from area.registry import Registry, registry
from area.sdk import Account, Context, Credentials, OAuth2, Service
from area.sdk.verify import token_of
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
    result = Registry()
    result.add(Service("chat", "Chat", "Talk with people", auth=Credentials(Credential, no_trial), login=login))
    result.add(Service("form", "Form", "Only a form", auth=Credentials(Credential, no_trial)))
    keys = {"secret_key": KEY, "data_dir": tmp_path, "public_url": "https://area.example"}
    without = Settings(_env_file=None, **keys)
    settings = Settings(_env_file=None, clients={"chat": Keys("id", SecretStr("s"))}, **keys)
    assert [offer.provider for offer in providers.offered(result, settings)] == ["chat"]
    assert providers.offered(result, without) == []
    assert registrations.login_of(result.services["chat"]) is login
    assert registrations.login_of(result.services["form"]) is None
    chat, _ = registrations.clients(result, settings)
    assert (chat.configured, chat.redirect_uri) == (True, "https://area.example/api/auth/chat/callback")
    assert chat.variables == ["AREA_CHAT_CLIENT_ID", "AREA_CHAT_CLIENT_SECRET"]
    assert [(service.service, service.webhook_url) for service in chat.services] == [("chat", None)]
    assert connections.connectable(result, "chat")[1] is result.services["chat"].auth


def test_where_a_vendor_is_to_be_told_to_call_by_hand(tmp_path):
    keys = {"google": Keys("id", SecretStr("s")), "slack": Keys("id", SecretStr("s"))}
    settings = Settings(_env_file=None, clients=keys, secret_key=KEY, data_dir=tmp_path, public_url="https://a.example")
    without = settings.model_copy(update={"clients": {}})
    vendors, there = (registrations.clients(registry(), each) for each in (settings, without))
    here, unset = (
        {service.service: service.webhook_url for vendor in each for service in vendor.services}
        for each in (vendors, there)
    )
    assert here["slack"] == unset["slack"] == "https://a.example/webhooks/slack"
    assert here["gmail"] == f"https://a.example/webhooks/gmail?token={token_of('s')}"
    assert unset["gmail"] is None, "there is no secret yet to make the token of"
    assert here["jira"] is None, "AREA tells Jira by itself"
    (google,) = (vendor for vendor in vendors if vendor.client == "google")
    assert google.variables == ["AREA_GOOGLE_CLIENT_ID", "AREA_GOOGLE_CLIENT_SECRET", "AREA_GOOGLE_TOPIC"]


def test_services_of_one_vendor_are_registered_together_and_it_is_what_people_log_in_with(tmp_path):
    result = Registry()
    for slug, login in (("stock", False), ("shop", True)):
        auth = OAuth2(
            "https://acme.example/authorize",
            "https://acme.example/token",
            nobody_knows,
            login_scopes=("email",) if login else None,
            client="acme",
            vendor="Acme Inc",
        )
        result.add(Service(slug, slug.title(), "What is sold", auth=auth, docs=f"https://acme.example/{slug}"))
    settings = Settings(
        _env_file=None,
        clients={"acme": Keys("id", SecretStr("s"))},
        secret_key=KEY,
        data_dir=tmp_path,
        public_url="https://area.example",
    )
    acme, issuer = registrations.clients(result, settings)
    assert (acme.client, acme.name, acme.icon_path) == ("acme", "Acme Inc", "/icons/acme.svg")
    assert [(service.name, service.docs) for service in acme.services] == [
        ("Shop", "https://acme.example/shop"),
        ("Stock", "https://acme.example/stock"),
    ]
    assert acme.redirect_uri == "https://area.example/api/auth/acme/callback"
    assert acme.variables == ["AREA_ACME_CLIENT_ID", "AREA_ACME_CLIENT_SECRET"]
    assert (acme.configured, issuer.configured, issuer.services) == (True, False, [])
    (way,) = providers.offered(result, settings)
    assert (way.provider, way.name, way.icon_path) == ("shop", "Acme Inc", "/icons/acme.svg")
