"""Broken feeds, calendars, mails, hook bodies and answers, made from seeds: nothing crashes, and a bad part takes no
other along.

Each target takes a source of chance, makes one input and checks what its reader makes of it. In half of the cases only
one item (event, part, field) is broken, by values and not by markup: then all others must be there. In the other half
any bytes are changed: then the reader may refuse the whole with a sentence.
"""

from collections.abc import Callable
from random import Random

Target = Callable[[Random], None]

# what programs have put into titles, addresses and dates, and what breaks those who read them
NASTY = (
    "", " ", "\t", "é", "日本", "😀", "\u202e", "\ufeff", "\u2028", "\x0b", "\x00", "\x7f", "\ufffe", "\ud83d", "\ude00",
    "http://[site]/x.png", "http://[::1", "http://a:b:c/", "//", "http://x/%zz", "javascript:alert(1)", "http://\u2100/",
    "&#55357;&#56842;", "&#xD83D;", "&#9999999;", "&#0;", "&#x;", "&;", "&", "&amp;#55357;", "&nbsp;", "&lt;b",
    "<p>x <img src='http://[a]/b'></p>", "<b", "<!--", "]]", "<br/><br/>", "<script>1</script>", "<![CDATA[",
    "2026-02-31T25:61:61Z", "Mon, 99 Foo 2026 99:99:99 +9999", "0000-00-00", "9999-12-31T23:59:59Z", "-1", "1e999",
    "1969-12-31T19:00:00-05:00", "20261123T090000Z", "20260231T090000", "00010101T000000Z", "99991231T235959Z",
    "tzone://Microsoft/Utc", "GMT+0545", "(UTC+01:00) Nowhere", "Europe/Paris", "../../etc/passwd", "PT-1H", "P9999999D",
    "FREQ=DAILY;INTERVAL=0", "FREQ=SECONDLY", "FREQ=YEARLY;BYMONTH=13", "FREQ=DAILY;UNTIL=x", "FREQ=DAILY;COUNT=-1",
    "123456789012345678901234567890", "NaN", "null", "{}", "[]", '"', "'", "\\", "\\u0000", "%00", "%", "=", ";", ":", ",",
    "=?utf-8?B?w6k=?=", "=?gb2312?Q?=B0=A1?=", "=?x?y?z?=", "=C3=A9", "x" * 3000,
)  # fmt: skip
CHARSETS = ("utf-8", "utf-16", "iso-8859-1", "gb2312", "shift_jis", "iso-2022-jp", "x-none", "utf-7", "us-ascii", "")


def nasty(chance: Random) -> str:
    """One to three of `NASTY`."""
    return "".join(chance.choice(NASTY) for _ in range(chance.randint(1, 3)))


def one_line(chance: Random) -> str:
    """The same without line breaks and NUL."""
    return " ".join(nasty(chance).replace("\0", "").splitlines())


def garbled(chance: Random, content: bytes) -> bytes:
    """`content` with some bytes changed, cut out, repeated or put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + chance.randint(0, 20)] = b""
            case 1:
                data[at:at] = nasty(chance).encode(errors="surrogatepass")
            case 2:
                data[at:at] = data[at : at + chance.randint(0, 200)]
            case _:
                data[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(data)
