"""Bytes from outside as text and JSON: labels, byte order marks, stray bytes, half characters, big numbers."""

import codecs
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from area.kit.decoding import charset_in, codec_of, decode_text, parse_json


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("gb2312", "gb18030"),
        ("GBK", "gb18030"),
        ("x-gbk", "gb18030"),
        ("ks_c_5601-1987", "cp949"),
        ("euc-kr", "cp949"),
        ("windows-949", "cp949"),
        ("shift_jis", "cp932"),
        ("Windows-31J", "cp932"),
        ("iso-2022-jp-ms", "iso2022_jp"),
        ("cp50221", "iso2022_jp"),
        ("big5", "big5hkscs"),
        ("iso-8859-1", "cp1252"),
        ("latin1", "cp1252"),
        ("iso88591", "cp1252"),
        ("ISO_8859-1:1987", "cp1252"),
        ("iso-8859-9", "cp1254"),
        ("tis-620", "cp874"),
        ("iso-8859-8-i", "iso8859-8"),
        ("iso88592", "iso8859-2"),
        ("x-cp1251", "cp1251"),
        ("x-mac-cyrillic", "mac-cyrillic"),
        ("unicode", "utf-16-le"),
        ("utf-16", "utf-16-le"),
        ("utf8mb4", "utf-8"),
        (' "UTF-8" ', "utf-8"),
        ("iso-2022-kr", "iso2022_kr"),  # of mails
        ("utf-7", "utf-7"),
        *[(label, None) for label in ("x-none", "", "rot13", "base64", "hex", "idna", "punycode", "unicode_escape")],
        *[(label, None) for label in ("x" * 1000, "a\0b", "../../etc/passwd", "é", "charset")],
    ],
)
def test_labels_mean_what_browsers_mean(label, codec):
    assert codec_of(label) == codec


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"", None, ""),
        ("é".encode(), None, "é"),
        (codecs.BOM_UTF8 + "é".encode(), "latin1", "é"),
        ("é".encode("utf-16"), "utf-8", "é"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), None, "é"),
        ("é".encode("utf-32"), None, "é"),
        # one stray byte: the rest stays
        ("déjà ".encode() + b"\xff" + b" vu", "utf-8", "déjà \ufffd vu"),
        ("déjà ".encode() + b"\xe9" + b" vu", None, "déjà \ufffd vu"),
        ("cut 日".encode()[:-1], "utf-8", "cut \ufffd"),
        (b"a\xffb", "utf-8", "a\ufffdb"),
        (b"\x89PNG\x8d\x00", None, "\ufffdPNG\ufffd\0"),
        # written as windows-1252 throughout
        ("déjà vu — été".encode("cp1252"), "utf-8", "déjà vu — été"),
        ("déjà vu — été".encode("cp1252"), None, "déjà vu — été"),
        ("déjà vu — été".encode("cp1252"), "us-ascii", "déjà vu — été"),
        ("déjà vu".encode(), "us-ascii", "déjà vu"),
        ("— €".encode("cp1252"), "iso-8859-1", "— €"),
        ("朱镕基".encode("gb18030"), "gb2312", "朱镕基"),
        ("똠방각하".encode("cp949"), "ks_c_5601-1987", "똠방각하"),
        ("①髙﨑".encode("cp932"), "shift_jis", "①髙﨑"),
        (b"\xad\xa1\xc6\xfc\xcb\xdc", "euc-jp", "①日本"),
        (b"\xc6\xfc\xff\xff\xcb\xdc\xc6", "euc-jp", "日\ufffd\ufffd本\ufffd"),
        ("テスト 日本\r\nok".encode("iso2022_jp"), "iso-2022-jp", "テスト 日本\r\nok"),
        (b"\x1b$B-!\x1b(B ok \x1b(I\x31\x32\x1b(B.", "iso-2022-jp-ms", "① ok ｱｲ."),
        (b"a\x1b$B-", "iso-2022-jp", "a\ufffd"),
        ("😀".encode("utf-16-be", "surrogatepass")[:2], "utf-16be", "\ufffd"),
        ("\ud83d\ude00".encode("utf-8", "surrogatepass") + "é".encode(), None, "😀é"),  # as old Java writes it
        ("\ud83d é é é é".encode("utf-8", "surrogatepass"), None, "\ufffd\ufffd\ufffd é é é é"),
        (b"+2D0-", "utf-7", "\ufffd"),
    ],
)
def test_texts(data, charset, text):
    assert decode_text(data, charset) == text


@given(st.binary(max_size=60), st.sampled_from([None, "utf-8", "gb2312", "iso-2022-jp", "euc-jp", "utf-7", "utf-16"]))
def test_any_bytes_are_text_that_can_be_stored(data, charset):
    decode_text(data, charset).encode()


@given(st.text(max_size=40))
def test_valid_utf8_is_never_changed(text):
    assert decode_text(codecs.BOM_UTF8 + text.encode()) == text


def test_the_charset_of_a_content_type():
    assert charset_in('text/plain; format=flowed; Charset = "gb2312"; x=y') == "gb2312"
    assert charset_in("text/plain") is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"t":"cut \\ud83d"}', {"t": "cut \ufffd"}),
        (b'["\\ude00\\ud83d", "\\ud83d\\ude00", "\\\\ud83d"]', ["\ufffd\ufffd", "😀", "\\ud83d"]),
        ('["\ud83d"]', ["\ufffd"]),
        (b'["\xed\xa0\xbd\xc3\xa9\xc3\xa9\xc3\xa9"]', ["\ufffd\ufffd\ufffdééé"]),
        ('["é"]'.encode() + b"\n", ["é"]),
        (codecs.BOM_UTF8 + b"[1]", [1]),
        ("\ufeff[1]", [1]),
        ('["é"]'.encode("utf-16"), ["é"]),
        ('["é"]'.encode("utf-16-le"), ["é"]),
        ('["é"]'.encode("utf-32-be"), ["é"]),
        ('["é", "'.encode() + b'\xff"]', ["é", "\ufffd"]),
        ('["café"]'.encode("latin-1"), ["café"]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b"[18446744073709551616,-9223372036854775809]", ["18446744073709551616", "-9223372036854775809"]),
        (f'{{"id": {"9" * 5000}}}'.encode(), {"id": "9" * 5000}),
        (b'["\\ud83d", 123456789012345678901234567890]', ["\ufffd", "123456789012345678901234567890"]),
        (
            b'[0.1234567890123456789012, "12345678901234567890", 1e300]',
            [0.12345678901234568, "12345678901234567890", 1e300],
        ),
        (b"[1e400]", ["1e400"]),
    ],
)
def test_json(data, value):
    assert parse_json(data) == value


def test_the_charset_of_json_counts_only_if_it_is_no_utf8():
    assert parse_json('["é"]'.encode(), "iso-8859-1") == ["é"]
    assert parse_json('["朱镕基"]'.encode("gb18030"), "gb2312") == ["朱镕基"]


@pytest.mark.parametrize(
    "data",
    [b"", b"nope", b"[NaN]", b'["\\ud83d"', b"[1e400", b"\xff\xfe", b'{"a":1,}', "[" * 2000, b"[" * 2000 + b"1" * 30],
)
def test_what_is_no_json(data):
    with pytest.raises(json.JSONDecodeError):
        parse_json(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        st.lists,
    )
)
def test_json_of_the_standard_library_is_read(value):
    written = json.dumps(value)
    read = parse_json(written)
    assert orjson.dumps(read)
    if "\\ud" not in written:
        assert json.loads(json.dumps(read)) == json.loads(written, parse_int=parse_json)
