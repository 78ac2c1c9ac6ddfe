"""Compressed bodies (RFC 9110 §8.4), with a limit on what they may become."""

import zlib
from collections.abc import Iterable

import brotli

ENCODINGS = ("gzip", "deflate", "br")
MOST_LAYERS = 3  # encodings on top of each other
STEP = 65_536  # bytes


class UnknownEncodingError(ValueError):
    """A content coding that isn't one of `ENCODINGS`."""


class TooLargeError(ValueError):
    """The body is larger than allowed once it is decompressed."""


class BrokenError(ValueError):
    """The body isn't what its Content-Encoding says."""


def codings(content_encoding: str) -> list[str]:
    """The content codings of a header, in the order they were applied, without `identity`."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    return [name.removeprefix("x-") for name in names if name not in ("", "identity")]


def decompressed(body: bytes, names: Iterable[str], limit: int) -> bytes:
    """A body without its content codings, at most `limit` bytes.

    Raises `UnknownEncodingError`, `TooLargeError` or `BrokenError`.
    """
    layers = list(names)
    if len(layers) > MOST_LAYERS or any(name not in ENCODINGS for name in layers):
        raise UnknownEncodingError
    for name in reversed(layers):
        body = _brotli(body, limit) if name == "br" else _zlib(body, name, limit)
    return body


def _zlib(body: bytes, name: str, limit: int) -> bytes:
    # a deflate body has a zlib header by the standard, and none from many senders
    raw = name == "deflate" and not _has_zlib_header(body)
    bits = -zlib.MAX_WBITS if raw else zlib.MAX_WBITS | (16 if name == "gzip" else 0)
    parts: list[bytes] = []
    size = 0
    while body:  # gzip bodies may have several members
        decoder = zlib.decompressobj(bits)
        try:
            part = decoder.decompress(body, limit - size + 1)
        except zlib.error as error:
            raise BrokenError from error
        size += len(part)
        if size > limit:
            raise TooLargeError
        if not decoder.eof:
            raise BrokenError
        parts.append(part)
        body = decoder.unused_data if name == "gzip" else b""
    return b"".join(parts)


def _has_zlib_header(body: bytes) -> bool:
    """https://www.rfc-editor.org/rfc/rfc1950#section-2.2"""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


def _brotli(body: bytes, limit: int) -> bytes:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    try:
        part = decoder.process(body, output_buffer_limit=STEP)
        while True:
            size += len(part)
            if size > limit:
                raise TooLargeError
            parts.append(part)
            if decoder.is_finished():
                return b"".join(parts)
            if decoder.can_accept_more_data():
                raise BrokenError
            part = decoder.process(b"", output_buffer_limit=STEP)
    except brotli.error as error:
        raise BrokenError from error
