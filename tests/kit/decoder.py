"""A decoder that does whatever it is told to."""

import os
import time
from pathlib import Path

from area.kit.zygote import Unreadable


def decode(content, what="count", path=""):
    match what:
        case "echo":
            return content
        case "refuse":
            raise Unreadable("It is no picture: “é”.")
        case "limit":
            raise Unreadable("The calendar has more than %(number)s events in a day.", number=1000)
        case "break":
            raise ZeroDivisionError
        case "spin":
            while True:
                pass
        case "sleep":
            Path(path).write_text("")  # an empty file is allowed, and tells the test that it has begun
            time.sleep(60)
        case "hoard":
            return {"bytes": len(bytearray(1_000_000_000))}
        case "write":
            Path(path).write_text("x" * 10_000)
        case "talk":
            return b"x" * 20_000_000
        case "open":
            return {"opened": [os.open("/dev/null", os.O_RDONLY) for _ in range(1000)]}
        case "environment":
            return dict(os.environ)
        case "die":
            os.abort()
    return {"bytes": len(content)}
