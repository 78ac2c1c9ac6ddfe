"""Mail as bytes: nothing that is typed becomes a header, an address or a body, on any Python that AREA runs on."""

import subprocess
import sys
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from tests.kit import hostile_mail

from area.kit import mime
from area.kit.mime import Mailbox

SRC = Path(__file__).parents[2] / "src"
SYSTEM = Path("/usr/bin/python3")


def test_hostile_text_stays_text():
    assert hostile_mail.check() == 2 * len(hostile_mail.TEXTS) + 3 * len(hostile_mail.BODIES)


def test_another_python_writes_the_same():
    """Debian's own Python is older than the fix of CVE-2024-6923 in the standard library."""
    if (
        not SYSTEM.exists()
        or subprocess.run([SYSTEM, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode
    ):
        pytest.skip(f"{SYSTEM} is not there, or older than 3.11")
    done = subprocess.run(
        [SYSTEM, "-I", Path(hostile_mail.__file__), SRC], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(hostile_mail.check())


def test_what_it_is_for():
    """The standard library writes the line breaks of an encoded word out, where it is old enough."""
    message = EmailMessage()
    message["Subject"] = hostile_mail.TEXTS[3]
    written = message.as_bytes(policy=SMTP)
    if b"\r\nReply-To: evil@x.example" not in written:
        pytest.skip(f"Python {sys.version.split()[0]} is mended")
    ours = mime.compose(to=[Mailbox("a@b.example")], subject=hostile_mail.TEXTS[3], text="x").content
    assert "Reply-To" not in hostile_mail.names(ours)


def test_addresses_beyond_ascii_ask_for_smtputf8():
    assert not mime.compose(to=[Mailbox("j@bücher.example")], subject="").utf8
    message = mime.compose(to=[Mailbox("jörg@bücher.example", "Jörg")], subject="")
    assert message.utf8
    assert "<jörg@xn--bcher-kva.example>".encode() in message.content


def test_message_ids():
    assert mime.message_id("7.a b\r\n", "example.org\r\n") == "<7.ab@example.org>"
    assert mime.message_id("", "") == "<area@area>"
    assert mime.message_ids("x <1@a>\r\n <2@b> =?utf-8?q?<3@c>=0d=0a?= <é@d>") == "<1@a> <2@b> <3@c>"
    assert len(mime.message_ids("<1@a> " * 100).split()) == mime.MOST_REFERENCES
