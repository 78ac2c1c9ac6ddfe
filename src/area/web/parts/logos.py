"""Logos of services and of vendors with several services: our drawing, else the vendor's, else initials."""

import re
import zlib
from functools import cache
from pathlib import Path

from markupsafe import Markup

from area.connections import registrations
from area.registry import Registry
from area.web.parts.show import initials

CLIENTS = Path(__file__).parents[1] / "clients"  # a folder for each vendor, called as its client id is in the settings
VENDORS = Path(__file__).parents[1] / "vendor" / "logos"
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
    """The logo that logo.txt in a folder names, as the package's build has fetched it; None where there is none."""
    path = folder / "logo.txt"
    named = NAMED.fullmatch(path.read_text("utf-8").strip()) if path.is_file() else None
    vendored = VENDORS / named[1] / f"{named[2]}.svg" if named else None
    return vendored if vendored and vendored.is_file() else None


def icon(registry: Registry, name: str) -> bytes | None:
    """Serve /icons/<name>.svg: a service's logo, else that of the vendor with this client name."""
    if service := registry.services.get(name):
        return logo(name, service.name, registry.folders.get(name))
    served = next((service for service in registry.services.values() if registrations.client_of(service) == name), None)
    return logo(name, registrations.vendor_of(served), CLIENTS / name) if served else None


def logo(slug: str, name: str, folder: Path | None) -> bytes:
    """The SVG logo for `name`."""
    own = folder / "logo.svg" if folder else None
    path = own if own and own.is_file() else vendor(folder) if folder else None
    if path:
        return path.read_bytes()
    colour = COLOURS[zlib.crc32(slug.encode()) % len(COLOURS)]
    return INITIALS.format(colour=colour, letters=initials(name)).encode()
