"""Client ids and secrets, whatever the service, from the environment and `.env`."""

import pytest
from pydantic import ValidationError

from area.registry import Malformed, registry
from area.settings import Settings


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_by_service(somewhere, monkeypatch):
    (somewhere / ".env").write_text(
        "AREA_GOOGLE_CALENDAR_CLIENT_ID=from the file\nAREA_GOOGLE_CALENDAR_CLIENT_SECRET=a secret\n"
        "AREA_GITHUB_CLIENT_ID=overridden\nAREA_GITHUB_CLIENT_SECRET=kept\n"
    )
    monkeypatch.setenv("AREA_GITHUB_CLIENT_ID", "from the environment")
    monkeypatch.setenv("AREA_HALF_CLIENT_ID", "without a secret")
    settings = Settings()
    assert sorted(settings.clients) == ["github", "google_calendar"]
    github = settings.client("github")
    assert (github.id, github.secret.get_secret_value()) == ("from the environment", "kept")
    assert settings.client("google_calendar").id == "from the file"
    assert settings.client("half") is settings.client("other") is settings.client("oidc") is None
    assert "a secret" not in repr(settings)


def test_a_topic(monkeypatch):
    monkeypatch.setenv("AREA_GOOGLE_TOPIC", "projects/area/topics/mail")
    assert Settings().client("google") is None, "it is of use to who is registered"
    monkeypatch.setenv("AREA_GOOGLE_CLIENT_ID", "area")
    monkeypatch.setenv("AREA_GOOGLE_CLIENT_SECRET", "a secret")
    assert Settings().client("google").topic == "projects/area/topics/mail"
    monkeypatch.setenv("AREA_GOOGLE_TOPIC", "")
    assert Settings().client("google").topic is None


def test_an_issuer(monkeypatch):
    monkeypatch.setenv("AREA_OIDC_ISSUER", "https://id.example.org/realms/home")
    monkeypatch.setenv("AREA_OIDC_CLIENT_ID", "area")
    assert Settings().client("oidc") is None
    monkeypatch.setenv("AREA_OIDC_CLIENT_SECRET", "a secret")
    settings = Settings()
    assert settings.client("oidc").id == "area"
    assert settings.clients == {}, "it is no service"
    assert "a secret" not in repr(settings)
    monkeypatch.setenv("AREA_OIDC_ISSUER", "id.example.org")
    with pytest.raises(ValidationError, match="must begin with https"):
        Settings()


def test_servers_of_ones_own(monkeypatch):
    monkeypatch.setenv("AREA_GITLAB_SERVER", "https://gitlab.example.org/")
    assert Settings().servers == {"gitlab": "https://gitlab.example.org/"}
    monkeypatch.setenv("AREA_GITLAB_SERVER", "gitlab.example.org")
    with pytest.raises(ValidationError, match="AREA_GITLAB_SERVER must be an address"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "message"),
    [("AREA_RSS_SERVER", "RSS.* has no servers of one's own"), ("AREA_NOBODY_SERVER", "names no service")],
)
def test_a_server_that_nobody_has_stops_the_start(monkeypatch, variable, message):
    monkeypatch.setenv(variable, "https://own.example.org")
    monkeypatch.setattr("area.registry.settings", Settings)
    with pytest.raises(Malformed, match=message):
        registry.__wrapped__()
