"""Compressed bodies, and what only looks like one."""

import gzip
import sys
import zlib
from contextlib import suppress

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from area.kit.compression import BrokenError, TooLargeError, UnknownEncodingError, codings, decompressed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = b'{"order": 42}' * 20
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
WITHOUT_HEADER = RAW.compress(BODY) + RAW.flush()
WIDE = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.enable_long_distance_matching: 1}


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY[:13]) + gzip.compress(BODY[13:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", WITHOUT_HEADER),
        ("br", brotli.compress(BODY)),
        ("zstd", zstd.compress(BODY)),
        ("zstd", zstd.compress(BODY[:13]) + zstd.compress(BODY[13:])),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
        ("identity", BODY),
        ("", BODY),
    ],
    ids=range(11),
)
def test_bodies(encoding, body):
    assert decompressed(body, codings(encoding), len(BODY)) == BODY


@pytest.mark.parametrize("encoding", ["lzma", "compress", "gzip, gzip, gzip, gzip", "rot13"])
def test_unknown_encodings(encoding):
    with pytest.raises(UnknownEncodingError):
        decompressed(BODY, codings(encoding), 1000)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", lambda: gzip.compress(bytes(50_000_000))),
        ("deflate", lambda: zlib.compress(bytes(50_000_000))),
        ("br", lambda: brotli.compress(bytes(50_000_000), quality=5)),
        ("zstd", lambda: zstd.compress(bytes(50_000_000))),
        ("gzip", lambda: gzip.compress(bytes(600)) * 2),
        ("gzip, gzip", lambda: gzip.compress(gzip.compress(bytes(50_000_000)))),
    ],
    ids=range(6),
)
def test_bombs(encoding, bomb):
    """A bomb is made in its test: every worker collects all of them."""
    with pytest.raises(TooLargeError):
        decompressed(bomb(), codings(encoding), 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", [b"no such thing", b"\x1f\x8b\x08", b"x"], ids=range(3))
def test_broken_bodies(encoding, body):
    with pytest.raises(BrokenError):
        decompressed(body, codings(encoding), 1000)


@pytest.mark.parametrize(
    ("name", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstd.compress)],
)
def test_bodies_that_are_cut_off(name, compress):
    with pytest.raises(BrokenError):
        decompressed(compress(BODY)[:-1], [name], 1000)


def test_a_window_of_16_mb_is_refused():
    """8 MB is the most that a receiver has to have (RFC 9659)."""
    with pytest.raises(BrokenError):
        decompressed(zstd.compress(bytes(17_000_000), options=WIDE), ["zstd"], 20_000_000)


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate", "br", "zstd"]))
def test_any_bytes(body, name):
    with suppress(BrokenError, TooLargeError):
        assert len(decompressed(body, [name], 500)) <= 500
