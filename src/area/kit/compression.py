"""Compressed bodies (RFC 9110 §8.4), with a limit on what they may become."""

import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

ENCODINGS = ("gzip", "deflate", "br", "zstd")
MOST_LAYERS = 3  # encodings on top of each other
ZSTD_WINDOW_LOG = 23  # 8 MB: https://www.rfc-editor.org/rfc/rfc9659#section-3


class UnknownEncodingError(ValueError):
    """A content coding that isn't one of `ENCODINGS`."""


class TooLargeError(ValueError):
    """The body is larger than allowed once it is decompressed."""


class BrokenError(ValueError):
    """The body isn't what its Content-Encoding says."""


class Decoder(Protocol):
    """Decompresses one body, as it comes."""

    @property
    def complete(self) -> bool:
        """Whether the end has been seen."""
        ...

    def decode(self, data: bytes, most: int) -> bytes:
        """What `data` adds to the body. Raises `TooLargeError` for more than `most` bytes, and `BrokenError`."""
        ...


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
        layer = _DECODERS[name]()
        body = layer.decode(body, limit)
        if not layer.complete:
            raise BrokenError
    return body


def decoder(content_encoding: str) -> Decoder | None:
    """A decoder for a header's value. None if there is nothing to undo, or a coding is unknown: then the body is taken
    as it is.
    """
    names = codings(content_encoding)
    if not names or len(names) > MOST_LAYERS or not _DECODERS.keys() >= set(names):
        return None
    chain = _DECODERS[names[0]]()
    for name in names[1:]:
        chain = _Chain(_DECODERS[name](), chain)
    return chain


class _Zlib:
    """gzip (RFC 1952) and deflate (RFC 1950, or without its header as in RFC 1951, which many send by that name)."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._zlib: Any = None

    @property
    def complete(self) -> bool:
        return self._zlib is not None and bool(self._zlib.eof)

    def decode(self, data: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while data:
            if self._zlib is None:
                raw = self._wbits == zlib.MAX_WBITS and not _has_zlib_header(data)
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS if raw else self._wbits)
            elif self._zlib.eof:
                if not data.startswith(b"\x1f\x8b"):  # not another member: padding
                    break
                self._zlib = zlib.decompressobj(self._wbits)
            try:
                part = self._zlib.decompress(data, most + 1)
            except zlib.error as error:
                raise BrokenError from error
            most = _left(most, part)
            parts.append(part)
            data = self._zlib.unused_data
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _has_zlib_header(body: bytes) -> bool:
    """https://www.rfc-editor.org/rfc/rfc1950#section-2.2"""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


class _Brotli:
    """https://www.rfc-editor.org/rfc/rfc7932"""

    def __init__(self) -> None:
        import brotli  # few use it

        self._error = brotli.error
        self._brotli = brotli.Decompressor()

    @property
    def complete(self) -> bool:
        return bool(self._brotli.is_finished())

    def decode(self, data: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while data or not self._brotli.can_accept_more_data():
            try:
                part = self._brotli.process(data, output_buffer_limit=most + 1)
            except self._error as error:
                raise BrokenError from error
            most = _left(most, part)
            parts.append(part)
            data = b""
        return b"".join(parts)


class _Zstd:
    """https://www.rfc-editor.org/rfc/rfc8878"""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._error = zstd.ZstdError
        self._new: Callable[[], Any] = lambda: zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        )
        self._zstd = self._new()

    @property
    def complete(self) -> bool:
        return bool(self._zstd.eof)

    def decode(self, data: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while data:
            if self._zstd.eof:  # another frame
                self._zstd = self._new()
            try:
                part = self._zstd.decompress(data, most + 1)
            except self._error as error:
                raise BrokenError from error
            most = _left(most, part)
            parts.append(part)
            data = self._zstd.unused_data if self._zstd.eof else b""
        return b"".join(parts)


class _Chain:
    """Several codings; `last` was applied last, and is undone first."""

    def __init__(self, last: Decoder, first: Decoder) -> None:
        self._last, self._first = last, first

    @property
    def complete(self) -> bool:
        return self._last.complete and self._first.complete

    def decode(self, data: bytes, most: int) -> bytes:
        return self._first.decode(self._last.decode(data, most), most)


def _left(most: int, part: bytes) -> int:
    if len(part) > most:
        raise TooLargeError
    return most - len(part)


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}
