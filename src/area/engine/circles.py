"""Circles of AREAs whose reactions call webhooks of this installation.

Such a request says which AREAs led to it, in a signed header, so that a circle ends after `LONGEST` runs instead of
running for ever. A short one, such as an AREA that calls itself until a counter is 0, may be intended.
"""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from area.kit.crypto import BadSignature, Keyring
from area.kit.hostnames import is_loopback, matches
from area.settings import Settings

HEADER = "x-area-chain"
LONGEST = 25  # runs
GOOD_FOR = 86_400.0  # seconds; a delivery may be retried for as long
PURPOSE = "chain"
PORTS = {"http": 80, "https": 443}
MOST = 2000  # characters of the header


def own_hook(settings: Settings) -> Callable[[str], bool]:
    """Whether an address is a webhook of this installation, by any of its names."""

    def is_own(address: str) -> bool:
        if "/hooks/" not in address:
            return False
        parts, public = urlsplit(address), urlsplit(settings.base_url)
        host = parts.hostname or ""
        ours = is_loopback(host) or any(matches(host, name) for name in settings.names())
        ports = (settings.port, public.port or PORTS.get(public.scheme))
        return ours and (parts.port or PORTS.get(parts.scheme)) in ports and parts.path.startswith("/hooks/")

    return is_own


def write(keyring: Keyring, chain: Sequence[int]) -> str:
    """The header's value for a request of the last AREA in the chain."""
    return keyring.sign(" ".join(map(str, chain[-LONGEST:])), PURPOSE, GOOD_FOR)


def read(keyring: Keyring, value: str) -> list[int]:
    """The ids of the AREAs that led to a request; empty if none did."""
    if not value or len(value) > MOST:
        return []
    try:
        return [int(part) for part in keyring.unsign(value, PURPOSE, GOOD_FOR).split()]
    except BadSignature:
        return []
