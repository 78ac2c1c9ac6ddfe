"""A service's logo: its own drawing, else its vendor's, else coloured initials."""

import re
import zlib
from functools import cache
from pathlib import Path

from markupsafe import Markup

from area.sdk import Service
from area.web.show import initials

VENDORS = Path(__file__).parent / "vendor" / "logos"
NAMED = re.compile(r"(simple-icons|logos):([a-z0-9-]+)")
COLOURS = (
    "#b42318",
    "#9a3412",
    "#7c5200",
    "#3f6212",
    "#0b6e63",
    "#155e94",
    "#4338ca",
    "#86198f",
)  # white is read on each
INITIALS = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="{colour}"/>'
    '<text x="12" y="16.2" text-anchor="middle" font-family="system-ui, sans-serif" font-size="12" font-weight="700"'
    ' fill="#fff">{letters}</text></svg>\n'
)


@cache
def vendor(folder: Path) -> Path | None:
    """The logo that logo.txt in a connector's folder names, as the package's build has fetched it; None where there is none."""
    path = folder / "logo.txt"
    named = NAMED.fullmatch(path.read_text("utf-8").strip()) if path.is_file() else None
    found = VENDORS / named[1] / f"{named[2]}.svg" if named else None
    return found if found and found.is_file() else None


def logo(service: Service, folder: Path | None) -> bytes:
    """The logo of a service, as SVG."""
    own = folder / "logo.svg" if folder else None
    path = own if own and own.is_file() else vendor(folder) if folder else None
    if path:
        return path.read_bytes()
    colour = COLOURS[zlib.crc32(service.slug.encode()) % len(COLOURS)]
    return INITIALS.format(colour=colour, letters=initials(service.name)).encode()
