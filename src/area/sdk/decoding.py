"""Decode documents from strangers in a separate process with limits, one at a time per user.

    reader = Reader(Path(__file__).with_name("reader.py"))

    items = await reader.read(response.host, response.body, url=response.url)

The file defines `decode(content: bytes, **options) -> bytes | JSON` and raises `area.kit.zygote.Unreadable` with a
sentence for the user. It should import little: it is loaded by its path, without the package around it (see
`area.kit.zygote`).

`decode_text` decodes bytes as text, and `parse_json` as JSON; readers import both from `area.kit.decoding`.
"""

import os
from pathlib import Path
from typing import Any

from area.kit.decoding import charset_in, codec_of, decode_text, parse_json
from area.kit.fair import Fair, Full
from area.kit.sandbox import DecodeError, Decoder
from area.kit.sentences import Sentence
from area.sdk.errors import Permanent, Retry

__all__ = ["Reader", "charset_in", "codec_of", "decode_text", "documents", "parse_json"]

documents = Fair(
    "documents",
    "AREA is busy reading other feeds, calendars and mail, and will retry.",
    slots=max(2, os.cpu_count() or 1),
    per_key=1,
    waiting=1000,
    waiting_per_key=100,
    patience=25,  # what is looked at must come to an end within a minute
)


class Reader:
    """A Python file that decodes one format. It may use `seconds` of CPU time and `memory` bytes."""

    def __init__(self, path: Path, *, seconds: int = 5, memory: int = 300_000_000) -> None:
        self._decoder = Decoder(path, documents, seconds, memory=memory)

    async def read(self, sender: str, content: bytes, **options: Any) -> Any:
        """Decode `content`, sent by the host `sender`. Raises `Permanent`, or `Retry` if AREA is too busy."""
        try:
            return await self._decoder.decode(content, **options)
        except Full as error:
            raise Retry(str(error)) from error
        except DecodeError as error:
            match error.reason:
                case "unreadable":
                    raise Permanent(str(error)) from error
                case "busy":
                    sentence = Sentence(
                        "AREA was too busy to read the response of %(host)s and will retry.", host=sender
                    )
                    raise Retry(sentence) from error
                case "time":
                    seconds = self._decoder.seconds
                    sentence = Sentence(
                        "The response of %(host)s takes more than %(number)s seconds to read. Use a smaller feed or"
                        " calendar.",
                        host=sender,
                        number=seconds,
                    )
                    raise Permanent(sentence) from error
                case _:
                    sentence = Sentence(
                        "The response of %(host)s can't be read: it is malformed or takes too much memory.", host=sender
                    )
                    raise Permanent(sentence) from error
