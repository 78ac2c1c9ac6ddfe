"""Lines of iCalendar (RFC 5545) as programs write them, put right for a parser that takes the standard only.

Exchange writes time zones as `TZID=tzone://Microsoft/Utc` without the quotes that the colon needs, vCalendar 1.0 has
quoted-printable texts, others fold lines within a character, or write blanks, offsets and ISO 8601 with separators.
"""

import quopri
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from zoneinfo import available_timezones

from area.kit.decoding import decode_text

DATES = frozenset({"DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"})

_FOLD = re.compile(rb"\r?\n[ \t]")
_STAMP = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d))?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?)?$", re.IGNORECASE
)
_PARAMETER = re.compile(r';([A-Za-z-]+)=("[^"]*"|(?:(?!;[A-Za-z-]+=).)*)')
_OFFSET = re.compile(r"\(?(?:UTC|GMT)?\s*([+-])(\d\d?)(?::?(\d\d))?(?![\d:])", re.IGNORECASE)
_ABBREVIATIONS = {
    "Z": "UTC", "ZULU": "UTC", "UCT": "UTC", "COORDINATED UNIVERSAL TIME": "UTC", "UNIVERSAL TIME": "UTC",
    "CEST": "CET", "EEST": "EET", "WEST": "WET", "BST": "Europe/London", "EDT": "America/New_York",
    "CST": "America/Chicago", "CDT": "America/Chicago", "MDT": "America/Denver", "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles", "JST": "Asia/Tokyo", "AEST": "Australia/Brisbane", "AEDT": "Australia/Sydney",
}  # fmt: skip


def unfolded(content: bytes, charset: str | None = None) -> str:
    """The text, one property in each line, with line feeds. Lines may be folded within a character (§3.1)."""
    if b"\0" not in content[:200]:  # else it is UTF-16
        content = _FOLD.sub(b"", content.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    text = decode_text(content, charset).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"\n[ \t]", "", text.strip("\ufeff \n") + "\n")
    return "".join(f"{line}\n" for line in _unquoted(text)) if "quoted-printable" in text.lower() else text


def _unquoted(text: str) -> Iterator[str]:
    """The lines, those in quoted-printable (vCalendar 1.0) as they are written in iCalendar."""
    lines = iter(text.removesuffix("\n").split("\n"))
    for line in lines:
        head, colon, value = line.partition(":")
        if ";ENCODING=QUOTED-PRINTABLE" not in head.upper():
            yield line
            continue
        while value.endswith("="):  # a soft line break
            value = value[:-1] + next(lines, "")
        named = {name.upper(): parameter for name, parameter in _PARAMETER.findall(head)}
        decoded = decode_text(quopri.decodestring(value.encode()), named.get("CHARSET"))
        written = decoded.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")
        parameters = "".join(f";{name}={part}" for name, part in named.items() if name not in ("ENCODING", "CHARSET"))
        yield f"{name_of(line)}{parameters}{colon}{written}"


def name_of(line: str) -> str:
    """The property's name, in capitals."""
    return line.partition(":")[0].partition(";")[0].strip().upper()


def repaired(line: str, zones: Collection[str]) -> str:
    """A line of one of `DATES`; empty without a value. `zones` are the time zones that the calendar brings along.

    What is no date stays as it is: the parser refuses it.
    """
    head, value = _parted(line)
    parameters = {name.upper(): text.strip('"').strip() for name, text in _PARAMETER.findall(head)}
    stamps = [_stamp(part.strip()) for part in value.split(",") if part.strip()]
    if not stamps:
        return ""
    zone = parameters.pop("TZID", "")
    if len(stamps[0]) == 8 and stamps[0].isdigit():
        parameters["VALUE"], zone = "DATE", ""
    elif parameters.get("VALUE", "").upper() == "DATE":
        del parameters["VALUE"]
    if zone and not stamps[0].endswith("Z"):
        parameters["TZID"] = zone if zone in zones else zone_named(zone) or zone
    written = "".join(f';{name}="{text}"' for name, text in parameters.items())
    return f"{name_of(line)}{written}:{','.join(stamps)}"


def repaired_rule(line: str) -> str:
    """An RRULE without empty parts, and with `UNTIL` in basic format; dates there are written as oddly as elsewhere."""
    head, colon, value = line.partition(":")
    pairs = [part.strip().partition("=") for part in value.split(";")]
    parts = [
        f"{name}={_stamp(given.strip()) if name.upper() == 'UNTIL' else given}"
        for name, _, given in pairs
        if given.strip()
    ]
    return f"{head}{colon}{';'.join(parts)}"


def _parted(line: str) -> tuple[str, str]:
    """What is before the value, and the value: dates have no colon, but ISO 8601 with separators has."""
    iso = re.search(r":\s*(\d{4}-?\d\d-?\d\d[T ]\d\d:\d\d[^,]*)$", line)
    if iso:
        return line[: iso.start()], iso[1]
    head, _, value = line.rpartition(":")
    return head, value


def _stamp(text: str) -> str:
    """A date or time in basic format, in UTC if it has an offset."""
    match = _STAMP.match(text)
    if match is None:
        return text
    year, month, day, hour, minute, second, offset = match.groups()
    if hour is None:
        return f"{year}{month}{day}"
    written = f"{year}{month}{day}T{hour}{minute}{second or '00'}"
    if offset in (None, "Z", "z"):
        return written + ("Z" if offset else "")
    try:
        at = datetime.strptime(written + offset.replace(":", ""), "%Y%m%dT%H%M%S%z")
        return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        return text


@cache
def _zones() -> dict[str, str]:
    """The names of IANA's time zones by their names in small letters, and by the cities in them."""
    names = sorted(available_timezones())
    places = [name for name in names if "/" in name and not name.startswith("Etc/")]
    cities = {name.rpartition("/")[2].replace("_", " ").lower(): name for name in places}
    return cities | {name.lower(): name for name in names}


def zone_named(name: str) -> str | None:
    """IANA's name of a time zone, or the fixed offset, that `name` means: `UTC` for `tzone://Microsoft/Utc`,
    `Europe/Berlin` for `/mozilla.org/20050126_1/Europe/Berlin` and `(UTC+01:00) Berlin, Rome`, `UTC+05:45` for
    `GMT+0545`. None if it means nothing here; the parser knows Windows' names.
    """
    name = name.strip().strip('"').strip()
    parts = name.split("/")
    for count in (len(parts), 3, 2, 1):
        tail = "/".join(parts[-count:])
        if count <= len(parts) and (known := _ABBREVIATIONS.get(tail.upper()) or _zones().get(tail.lower())):
            return known
    offset = _OFFSET.match(name) or _OFFSET.match(parts[-1].strip())
    if offset is None:
        return parts[-1] if name.lower().startswith("tzone://") else None
    cities = parts[-1].partition(")")[2].split(",")
    for city in cities:
        if known := _zones().get(city.strip().lower()):
            return known
    return f"UTC{offset[1]}{int(offset[2]):02d}:{offset[3] or '00'}" if int(offset[2]) < 24 else None


def fixed(name: str) -> timezone | None:
    """The time zone of a fixed offset as `zone_named` writes it."""
    match = re.fullmatch(r"UTC([+-])(\d\d):(\d\d)", name)
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)
