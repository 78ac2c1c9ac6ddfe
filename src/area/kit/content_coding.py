"""Content-Encoding: decompresses what servers send, without ever making more than what is wanted.

https://www.rfc-editor.org/rfc/rfc9110#section-8.4
"""

import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

MOST_CODINGS = 4  # one over the other
ZSTD_WINDOW_LOG = 23  # 8 MB: https://www.rfc-editor.org/rfc/rfc9659#section-3


class TooLong(Exception):
    """There is more than what is wanted."""


class Undecodable(Exception):
    """The data are not in that coding."""


class Decoder(Protocol):
    """Decompresses one body, as it comes."""

    def decode(self, data: bytes, most: int) -> bytes:
        """What `data` adds to the body. Raises `TooLong` for more than `most` bytes, and `Undecodable`."""
        ...


class _Zlib:
    """gzip (RFC 1952) and deflate (RFC 1950, or bare as in RFC 1951, which some servers mean by that name)."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._zlib: Any = None

    def decode(self, data: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while data:
            if self._zlib is None:
                bare = self._wbits == zlib.MAX_WBITS and data[0] & 15 != zlib.DEFLATED
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS if bare else self._wbits)
            elif self._zlib.eof:
                if not data.startswith(b"\x1f\x8b"):  # not another member: padding
                    break
                self._zlib = zlib.decompressobj(self._wbits)
            try:
                part = self._zlib.decompress(data, most + 1)
            except zlib.error as error:
                raise Undecodable from error
            most -= len(part)
            if most < 0:
                raise TooLong
            parts.append(part)
            data = self._zlib.unused_data
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Brotli:
    """https://www.rfc-editor.org/rfc/rfc7932"""

    def __init__(self) -> None:
        import brotli  # few servers use it

        self._error = brotli.error
        self._brotli = brotli.Decompressor()

    def decode(self, data: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while data or not self._brotli.can_accept_more_data():
            try:
                part = self._brotli.process(data, output_buffer_limit=most + 1)
            except self._error as error:
                raise Undecodable from error
            most -= len(part)
            if most < 0:
                raise TooLong
            parts.append(part)
            data = b""
        return b"".join(parts)


class _Zstd:
    """https://www.rfc-editor.org/rfc/rfc8878"""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd  # few servers use it
        else:
            from backports import zstd
        self._error = zstd.ZstdError
        self._new: Callable[[], Any] = lambda: zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        )
        self._zstd = self._new()

    def decode(self, data: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while data:
            if self._zstd.eof:
                self._zstd = self._new()
            try:
                part = self._zstd.decompress(data, most + 1)
            except self._error as error:
                raise Undecodable from error
            most -= len(part)
            if most < 0:
                raise TooLong
            parts.append(part)
            data = self._zstd.unused_data if self._zstd.eof else b""
        return b"".join(parts)


class _Chain:
    """Several codings; `last` was applied last, and is undone first."""

    def __init__(self, last: Decoder, first: Decoder) -> None:
        self._last, self._first = last, first

    def decode(self, data: bytes, most: int) -> bytes:
        return self._first.decode(self._last.decode(data, most), most)


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}


def decoder(content_encoding: str) -> Decoder | None:
    """A decoder for the value of a Content-Encoding header. None if there is nothing to undo, or a coding is unknown:
    then the body is taken as it is.
    """
    codings = [
        coding for name in content_encoding.lower().split(",") if (coding := name.strip()) not in ("", "identity")
    ]
    if not codings or len(codings) > MOST_CODINGS or not _DECODERS.keys() >= set(codings):
        return None
    chain = _DECODERS[codings[0]]()
    for coding in codings[1:]:
        chain = _Chain(_DECODERS[coding](), chain)
    return chain
