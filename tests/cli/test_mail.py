"""`area mail test`, and the encryption of what goes to the mail server."""

import email
from email import policy

import pytest
from tests.peers import smtp_server

from area.kit.mime import Mailbox
from area.mail.server import MailServer


def test_a_test_mail_is_sent(no_database, monkeypatch):
    with smtp_server(security="none", auth=False) as server:
        monkeypatch.setenv("AREA_SMTP_URL", f"smtp://127.0.0.1:{server.port}?from=AREA%20%3Ca@x.org%3E&tls=none")
        output = no_database.ok("mail", "test", "ann@example.org")
        assert "accepted the mail from a@x.org to ann@example.org, without encryption" in output
        (received,) = server.mails
    message = email.message_from_bytes(received.content, policy=policy.default)
    assert (message["From"], message["Subject"], message["Date"] is not None) == ("AREA <a@x.org>", "Test mail", True)


def test_what_fails_is_told(no_database, monkeypatch):
    assert "AREA_SMTP_URL is not set" in no_database("mail", "test", "ann@example.org").stderr
    with smtp_server(auth=False, refuse={"ann@example.org": "550 5.1.1 No such user"}) as server:
        monkeypatch.setenv("AREA_SMTP_URL", f"smtp://127.0.0.1:{server.port}?tls=none")
        assert "550 5.1.1 No such user" in no_database("mail", "test", "ann@example.org").stderr
        assert "not a valid e-mail address" in no_database("mail", "test", "ann").stderr
        monkeypatch.setenv("AREA_SMTP_URL", f"smtp://127.0.0.1:{server.port}")
        assert "does not offer STARTTLS" in no_database("mail", "test", "ann@example.org").stderr
        assert server.mails == []


@pytest.mark.parametrize(("security", "scheme"), [("starttls", "smtp"), ("tls", "smtps")])
def test_mail_is_encrypted_and_the_certificate_is_looked_at(no_database, monkeypatch, security, scheme):
    with smtp_server(security=security) as server:
        login = "ann%40example.org:correct%20horse"
        monkeypatch.setenv("AREA_SMTP_URL", f"{scheme}://{login}@localhost:{server.port}?from=a@x.org")
        assert "certificate" in no_database("mail", "test", "ann@example.org").stderr.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        assert "accepted the mail" in no_database.ok("mail", "test", "ann@example.org")
        assert len(server.mails) == 1


def test_the_address_of_the_server():
    server = MailServer.parse("smtp://a%40b:p%2Fw@mail.example.org?from=AREA <x@y.example>")
    assert (server.host, server.port, server.tls, server.login, server.password) == (
        "mail.example.org", 587, "starttls", "a@b", "p/w",
    )  # fmt: skip
    assert server.sender == Mailbox("x@y.example", "AREA")
    assert "p/w" not in repr(server)
    assert MailServer.parse("smtps://h.example").port == 465
    assert MailServer.parse("smtp://h.example").sender.address == "area@h.example"
    for wrong in (
        "http://h", "smtp://", "smtp://h:x", "smtp://h?tls=maybe", "smtps://h?tls=none", "smtp://h?form=a@b.c", "smtp://h?from=x",
    ):  # fmt: skip
        with pytest.raises(ValueError, match="AREA_SMTP_URL"):
            MailServer.parse(wrong)
