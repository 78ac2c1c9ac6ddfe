"""Compressed bodies, and what only looks like one."""

import gzip
import zlib
from contextlib import suppress

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from area.kit.compression import BrokenError, TooLargeError, UnknownEncodingError, codings, decompressed

BODY = b'{"order": 42}' * 20
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
WITHOUT_HEADER = RAW.compress(BODY) + RAW.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY[:13]) + gzip.compress(BODY[13:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", WITHOUT_HEADER),
        ("br", brotli.compress(BODY)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
        ("identity", BODY),
        ("", BODY),
    ],
    ids=range(9),
)
def test_bodies(encoding, body):
    assert decompressed(body, codings(encoding), len(BODY)) == BODY


@pytest.mark.parametrize("encoding", ["zstd", "compress", "gzip, gzip, gzip, gzip", "rot13"])
def test_unknown_encodings(encoding):
    with pytest.raises(UnknownEncodingError):
        decompressed(BODY, codings(encoding), 1000)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(50_000_000))),
        ("deflate", zlib.compress(bytes(50_000_000))),
        ("br", brotli.compress(bytes(50_000_000))),
        ("gzip", gzip.compress(bytes(600)) * 2),
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(50_000_000)))),
    ],
    ids=range(5),
)
def test_bombs(encoding, bomb):
    with pytest.raises(TooLargeError):
        decompressed(bomb, codings(encoding), 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("body", [b"no such thing", b"\x1f\x8b\x08", b"x"], ids=range(3))
def test_broken_bodies(encoding, body):
    with pytest.raises(BrokenError):
        decompressed(body, codings(encoding), 1000)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, brotli.compress])
def test_bodies_that_are_cut_off(compress):
    name = {"gzip": "gzip", "zlib": "deflate"}.get(compress.__module__, "br")
    with pytest.raises(BrokenError):
        decompressed(compress(BODY)[:-1], [name], 1000)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "br"]))
def test_any_bytes(body, name):
    with suppress(BrokenError, TooLargeError):
        assert len(decompressed(body, [name], 500)) <= 500
