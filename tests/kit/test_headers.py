"""Headers of mails from outside, as their senders meant them."""

import time

import pytest

from area.kit.headers import decoded, file_name, header_text, senders

MAILBOXES = {
    "": [],
    ",,,": [],
    "Bob <bob@x.org>": [("Bob", "bob@x.org")],
    "bob@x.org (Bob (the builder))": [("Bob (the builder)", "bob@x.org")],
    "Bob bob@x.org": [("Bob", "bob@x.org")],
    "Bob <bob@x.org": [("Bob", "bob@x.org")],
    "Acme, Inc. Jobs <jobs@example.com>": [("Acme, Inc. Jobs", "jobs@example.com")],
    "Müller, Jörg <j@x.org>, Bob, Jr. <b@x.org>": [("Müller, Jörg", "j@x.org"), ("Bob, Jr.", "b@x.org")],
    '"Müller, Jörg" <j@x.org>; b@x.org': [("Müller, Jörg", "j@x.org"), ("", "b@x.org")],
    "=?utf-8?q?a,b=2C?= <x@y.org>": [("a,b,", "x@y.org")],
    '"a \\"b\\" c" <x@y.org>': [('a "b" c', "x@y.org")],
    '"unclosed <a@b.org>': [("unclosed", "a@b.org")],
    "(unclosed <a@b.org>": [("unclosed", "a@b.org")],
    '"john doe"@x.org': [("", '"john doe"@x.org')],
    "<@relay.org,@other.org:x@y.org>": [("", "x@y.org")],
    "Team: a@x.org, B <b@x.org>;": [("", "a@x.org"), ("B", "b@x.org")],
    "undisclosed-recipients:;": [],
    "Re: you <a@b.org>": [("Re: you", "a@b.org")],
    "boss@x.org <evil@y.org>": [("boss@x.org", "evil@y.org")],
    "<a@b.org> <c@d.org>": [("", "a@b.org"), ("", "c@d.org")],
    "MAILER-DAEMON": [("MAILER-DAEMON", "")],
    "<nobody>": [("nobody", "")],
}


@pytest.mark.parametrize(("header", "mailboxes"), MAILBOXES.items(), ids=MAILBOXES)
def test_names_and_addresses(header, mailboxes):
    assert senders(header) == mailboxes


WORDS = {
    "=?utf-8?q?J=C3?= =?utf-8?q?=B6rg?= and =?UTF-8?B?w6k=?=!": "Jörg and é!",
    "=?utf-8?q?Hello World?=": "Hello World",
    "=?us-ascii*en?Q?hi_there?=": "hi there",
    "=?utf-8?b?w6k?=": "é",
    "=?utf-8?b?####?= tail": "tail",
    "=?utf-8?b?####?= =?utf-8?q?=C3=A9?=": "é",
    "=?martian?q?gr=C3=BC=C3=9Fe?=": "grüße",
    "=?utf-8?q?no end": "=?utf-8?q?no end",
    "=?gb2312?B?1uzpRrv5ILeixrE=?=": "朱镕基 发票",
    "=?ks_c_5601-1987?B?vsiz5yCMY7nmsKLHzw==?=": "안녕 똠방각하",
    "=?iso-2022-jp?B?GyRCLSEbKEI=?=": "①",
    "=?iso-8859-1?q?=805?=": "€5",
    "=?iso-8859-1?q?a?= =?utf-8?q?b?=": "ab",
}


@pytest.mark.parametrize(("header", "text"), WORDS.items(), ids=WORDS)
def test_encoded_words(header, text):
    assert decoded(header) == text


@pytest.mark.parametrize(
    ("disposition", "content_type", "name"),
    [
        ('attachment; filename="0 дней.xls"', "", "0 дней.xls"),
        ("attachment; filename=a.txt; filename*=utf-8''%C3%A9.txt", "", "é.txt"),
        ("attachment; filename*0*=gb2312''%C0%FB%E9%46; filename*1=.pdf", "", "利镕.pdf"),
        ("attachment; filename=my file.pdf", "", "my file.pdf"),
        ("attachment", 'application/pdf; name="=?utf-8?b?w6kucGRm?="', "é.pdf"),
        ("inline", "text/plain; charset=utf-8", ""),
    ],
)
def test_file_names(disposition, content_type, name):
    assert file_name(disposition, content_type) == name


def test_bytes_that_name_no_charset():
    assert header_text("Grüße".encode().decode("ascii", "surrogateescape")) == "Grüße"
    assert header_text("Grüße".encode("latin-1").decode("ascii", "surrogateescape")) == "Grüße"
    assert header_text("发票".encode("gb18030").decode("ascii", "surrogateescape"), "gb2312") == "发票"


@pytest.mark.parametrize(
    "piece",
    ["(", "<", '"', "=?a?q?", ",", "a,", ":;", '"\\', "a@", "x@y,", "@", '("', "<a@b>", "a@b ", '\\"@', "a:b@c;", "@,"],
)
def test_a_header_is_read_in_one_pass(piece):
    header = (piece * 20_000)[:20_000]
    begun = time.process_time()
    senders(header)
    decoded(header)
    assert time.process_time() - begun < 1  # what tries each beginning again takes minutes for the worst of them
