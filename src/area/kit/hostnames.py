"""Host names of `Host` headers and settings, in the canonical form for comparison."""

import ipaddress
import re

import idna

# RFC 9110, 7.2 and RFC 3986, 3.2.2: a name or an address, IPv6 in brackets, and a port
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::(\d{0,5}))?", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)


def parse_host(value: str) -> str | None:
    """The host of a `Host` header, in lower case without port, brackets or final dot; None if it is invalid."""
    match = _HOST.fullmatch(value)
    if match is None or int(match[3] or 0) > 65535:
        return None
    if match[1] is not None:
        return match[1].lower() if is_address(match[1]) else None
    name = match[2].lower().removesuffix(".")
    return name if name and len(name) <= 253 and all(map(_LABEL.fullmatch, name.split("."))) else None


def is_address(host: str) -> bool:
    """Whether the host is an IP address in its usual form, which no DNS server can redirect."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by definition: `localhost`, `*.localhost` (RFC 6761, 6.3), 127.0.0.0/8, ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def parse_pattern(text: str) -> str:
    """A host name, or `*.` and a host name for all names below it, in the form of `parse_host`. Raises `ValueError`."""
    if is_address(text):
        return text.lower()
    wildcard, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if name and ":" not in name and "*" not in name:
        try:
            encoded = name if name.isascii() else idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            encoded = ""
        if (host := parse_host(encoded)) is not None:
            return wildcard + host
    raise ValueError(f"{text!r} is not a host name; write area.example.org, or *.example.org for all names below it")


def matches(host: str, pattern: str) -> bool:
    """Whether the host matches a pattern of `parse_pattern`."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
