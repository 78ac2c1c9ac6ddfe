"""The guard against server-side request forgery: which hosts AREA may connect to on a user's behalf.

A name is resolved once, all of its addresses must be public, and the connection goes to one of these very addresses, so
that a name that resolves differently the second time gains nothing. Public is defined by the IANA registries of
special-purpose addresses (https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry). One module, so that everything that decides about an
address can be reviewed in one place.
"""

import asyncio
import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import urlsplit

import idna

from area.kit.fair import Fair, Full
from area.kit.sentences import Sentence, SentenceError
from area.kit.text import escaped

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "AREA_ALLOW_PRIVATE_NETWORK"

LOOKUP_SECONDS = 10.0  # for a name, including the wait for a slot
# Options of the system's resolver, unless the administrator sets others (resolv.conf(5)): by default it asks each
# server twice for five seconds, and a thread that waits for it can't be stopped.
RESOLVER = "timeout:3 attempts:2"

# Threads of its own, because uvloop resolves on four and asyncio on a pool shared with everything else; and few per
# user, whose names may all be slow.
lookups = Fair(
    "lookups",
    "AREA is busy looking up other host names of yours and will retry.",
    slots=64,
    per_key=4,
    waiting=2000,
    waiting_per_key=200,
    patience=LOOKUP_SECONDS,
)

EXCEPTED = 1000  # cached addresses
# Ports of other protocols, whose servers would read a request as commands:
# https://fetch.spec.whatwg.org/#port-blocking, and Redis and memcached, which read lines.
BAD_PORTS = frozenset((
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    6379, 11211,
))  # fmt: skip

_NOT_PUBLIC_V4 = [
    (IPv4Network(network), kind)
    for network, kind in (
        ("127.0.0.0/8", Sentence("a loopback address, this machine itself")),
        ("10.0.0.0/8", Sentence("a private network address")),
        ("172.16.0.0/12", Sentence("a private network address")),
        ("192.168.0.0/16", Sentence("a private network address")),
        ("169.254.0.0/16", Sentence("a link-local address, where cloud providers keep credentials")),
        ("100.64.0.0/10", Sentence("an internal address of a carrier or provider")),
        ("0.0.0.0/8", Sentence("an unspecified address, which means this machine")),
        ("192.0.0.0/24", Sentence("a reserved address")),
        ("192.0.2.0/24", Sentence("a documentation address")),
        ("198.51.100.0/24", Sentence("a documentation address")),
        ("203.0.113.0/24", Sentence("a documentation address")),
        ("192.88.99.0/24", Sentence("a reserved address")),
        ("198.18.0.0/15", Sentence("a benchmarking address")),
        ("224.0.0.0/4", Sentence("a multicast address")),
        ("255.255.255.255/32", Sentence("a broadcast address")),
        ("240.0.0.0/4", Sentence("a reserved address")),
        # Looks public, but inside Azure it serves the machine's certificates and settings:
        # https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
        ("168.63.129.16/32", Sentence("an internal service address of a cloud provider")),
    )
]

_NOT_PUBLIC_V6 = [
    (IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", Sentence("a loopback address, this machine itself")),
        ("::/128", Sentence("an unspecified address, which means this machine")),
        ("fc00::/7", Sentence("a private network address")),
        ("fe80::/10", Sentence("a link-local address")),
        ("fec0::/10", Sentence("a site-local address")),
        ("ff00::/8", Sentence("a multicast address")),
        ("2001:db8::/32", Sentence("a documentation address")),
        ("3fff::/20", Sentence("a documentation address")),
        ("64:ff9b:1::/48", Sentence("an address translated inside a private network")),
        ("2001:2::/48", Sentence("a benchmarking address")),
    )
]

_OWN = Sentence("an address of this machine itself")

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_PROTOCOL_ASSIGNMENTS = IPv6Network("2001::/23")
_NAT64 = IPv6Network("64:ff9b::/96")

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
# A host whose last label is a number is an IPv4 address in one of its old spellings (2130706433, 0x7f.1, 127.1):
# https://url.spec.whatwg.org/#ends-in-a-number-checker
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class Blocked(SentenceError):
    """AREA refuses to connect. The message says which host, why, and what an administrator can do."""


class LookupFailed(socket.gaierror):
    """The name could not be resolved in time. The message is a sentence."""


def is_public(address: str) -> bool:
    """Whether a numeric IPv4 or IPv6 address is public.

    An address that embeds an IPv4 address (mapped, NAT64, 6to4, Teredo) is public only if that one is. Anything that is
    not an address is not public.
    """
    try:
        return not _kind(ipaddress.ip_address(address))
    except ValueError:
        return False


class Guard:
    """Decides which addresses may be connected to: public ones, and the administrator's exceptions.

    `allow` holds `host`, `host:port`, an IPv4 or IPv6 address, `ip:port`, `[ipv6]:port` or a network such as
    `10.0.0.0/8`; an invalid entry raises `ValueError`. A host allowed by name may resolve to any address. `public_url`
    is AREA's own address: the one host and port of this machine that anybody may connect to, since AREA's own webhooks
    may be called.
    """

    def __init__(self, allow: Iterable[str] = (), *, public_url: str | None = None) -> None:
        self._names: set[tuple[str, int | None]] = set()
        self._networks: list[tuple[Network, int | None]] = []
        self._excepted: set[tuple[str, int]] = set()  # addresses allowed by an exception
        for entry in allow:
            where, port = _exception(entry)
            if isinstance(where, str):
                self._names.add((where, port))
            else:
                self._networks.append((where, port))
        self._public = _place(public_url) if public_url else None
        os.environ.setdefault("RES_OPTIONS", RESOLVER)

    def check(self, host: str, port: int) -> str:
        """`host` in canonical form: ASCII, lower case, no trailing dot, no brackets. Does not resolve it.

        Raises `Blocked` for an address that is not allowed, an invalid host name, or an impossible port.
        """
        target = _parse(host)
        if not 0 < port < 65536:
            raise Blocked(
                Sentence(
                    "%(target)s is refused: %(port)s is not a port number from 1 to 65535.",
                    target=target,
                    port=port,
                )
            )
        if not isinstance(target, str) and not self._allowed(target, port):
            kind = _kind(target)
            if kind:
                raise Blocked(_refused(str(target), kind, _advice(str(target), port)))
        return str(target)

    def admit_http(self, host: str, port: int) -> None:
        """Refuse what `check` can't for an HTTP request to `host` (canonical): ports of other protocols, own addresses.

        Raises `Blocked`.
        """
        if (host, port) in self._excepted:
            return
        if _is_address(host):
            self._checked(host, port, [host])
        if port in BAD_PORTS and not self._names_port(host, port):
            raise Blocked(
                Sentence(
                    "%(entry)s is refused: port %(port)s isn't used for HTTP. Use the web server's port. %(advice)s",
                    entry=_entry(host, port),
                    port=port,
                    advice=_advice(host, port),
                )
            )
        if self._networks and _is_address(host) and self._allowed(ipaddress.ip_address(host), port):
            if len(self._excepted) >= EXCEPTED:
                self._excepted.clear()
            self._excepted.add((host, port))  # by the settings, which don't change

    def _names_port(self, host: str, port: int) -> bool:
        """Whether an exception is for this very port."""
        if not _is_address(host):
            return (host, port) in self._names
        address = _unmapped(ipaddress.ip_address(host))
        return any(only == port and address in network for network, only in self._networks)

    async def resolve(self, host: str, port: int) -> list[str]:
        """The numeric addresses of `host` that may be connected to, in the order to try them.

        The name is resolved once; one address that is neither public nor allowed refuses the host. Raises `Blocked`, or
        `OSError` (`socket.gaierror`) if the name does not resolve.
        """
        name = self.check(host, port)
        if _is_address(name):
            return self._checked(name, port, [name])
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                addresses = await lookups.run(_look_up, name, port)
        except TimeoutError as error:
            raise LookupFailed(
                Sentence("Looking up %(name)s took more than %(number)s s.", name=name, number=f"{LOOKUP_SECONDS:g}")
            ) from error
        except Full as error:
            raise LookupFailed(str(error)) from error
        return self._checked(name, port, addresses)

    def resolve_sync(self, host: str, port: int) -> list[str]:
        """`resolve` for threads."""
        name = self.check(host, port)
        return self._checked(name, port, [name] if _is_address(name) else _look_up(name, port))

    async def open_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """A non-blocking TCP socket connected to `host`, within `timeout` seconds in total.

        Tries its addresses in turn. Raises `Blocked`, `TimeoutError`, or the `OSError` of the last address tried.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self.resolve(host, port)
        except TimeoutError as error:
            raise _not_looked_up(host, timeout) from error
        problem: OSError | None = None
        for position, address in enumerate(addresses):
            share = (deadline - loop.time()) / (len(addresses) - position)
            sock = socket.socket(_family(address), socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(share):
                    await loop.sock_connect(sock, (address, port))
            except TimeoutError:
                sock.close()
                problem = _not_accepted(host, port, timeout)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise problem or OSError(Sentence("%(host)s has no address.", host=host))

    def open_socket_sync(self, host: str, port: int, timeout: float) -> socket.socket:
        """`open_socket` for threads: a blocking socket, which keeps `timeout` for reads and writes."""
        deadline = time.monotonic() + timeout
        thread = ThreadPoolExecutor(1, thread_name_prefix="area-lookup")
        try:
            addresses = thread.submit(self.resolve_sync, host, port).result(timeout)
        except TimeoutError as error:
            raise _not_looked_up(host, timeout) from error
        finally:
            thread.shutdown(wait=False)
        problem: OSError | None = None
        for position, address in enumerate(addresses):
            share = (deadline - time.monotonic()) / (len(addresses) - position)
            sock = socket.socket(_family(address), socket.SOCK_STREAM)
            try:
                sock.settimeout(max(share, 0.001))
                sock.connect((address, port))
                sock.settimeout(timeout)
            except TimeoutError:
                sock.close()
                problem = _not_accepted(host, port, timeout)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise problem or OSError(Sentence("%(host)s has no address.", host=host))

    def _checked(self, name: str, port: int, addresses: list[str]) -> list[str]:
        if (name, None) in self._names or (name, port) in self._names:
            return addresses
        for text in addresses:
            address = ipaddress.ip_address(text)
            if self._allowed(address, port):
                continue
            kind = _kind(address) or (_OWN if (name, port) != self._public and is_own(address) else None)
            if kind:
                advice = _advice(name, port)
                if name == text:
                    raise Blocked(_refused(name, kind, advice))
                raise Blocked(
                    Sentence(
                        "%(name)s is refused: it resolves to %(address)s, which is %(kind)s. %(advice)s",
                        name=name,
                        address=text,
                        kind=kind,
                        advice=advice,
                    )
                )
        return addresses

    def _allowed(self, address: Address, port: int) -> bool:
        plain = _unmapped(address)
        return any(
            only in (None, port) and (address in network or plain in network) for network, only in self._networks
        )


def is_own(address: Address) -> bool:
    """Whether one of this machine's interfaces has `address`, or an IPv4 address embedded in it. Sends nothing."""
    if isinstance(address, IPv6Address) and any(map(is_own, _embedded(address))):
        return True
    text = str(address)
    if not _binds_any(_family(text)):
        return _binds(text)
    with socket.socket(_family(text), socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((text, 9))  # the kernel reaches its own address from that address
            return ipaddress.ip_address(probe.getsockname()[0]) == address
        except OSError:  # no route
            return False


def _binds(address: str) -> bool:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


@cache
def _binds_any(family: socket.AddressFamily) -> bool:
    """Whether the system allows binding to foreign addresses (net.ipv4.ip_nonlocal_bind)."""
    return _binds("203.0.113.77" if family == socket.AF_INET else "2001:db8:ffff::77")


def _place(url: str) -> tuple[str, int]:
    """Host, in canonical form, and port of an http or https address."""
    parts = urlsplit(url)
    return str(_parse(parts.hostname or "")), parts.port or (443 if parts.scheme == "https" else 80)


def _refused(name: str, kind: Sentence, advice: Sentence) -> Sentence:
    return Sentence("%(name)s is refused: it is %(kind)s. %(advice)s", name=name, kind=kind, advice=advice)


def _advice(host: str, port: int) -> Sentence:
    return Sentence(
        "An administrator can allow it by adding %(entry)s to %(setting)s.", entry=_entry(host, port), setting=SETTING
    )


def _entry(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _look_up(name: str, port: int) -> list[str]:
    infos: list[Any] = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _not_looked_up(host: str, timeout: float) -> TimeoutError:
    number = f"{timeout:g}"
    return TimeoutError(Sentence("Looking up %(host)s took more than %(number)s s.", host=host, number=number))


def _not_accepted(host: str, port: int, timeout: float) -> TimeoutError:
    return TimeoutError(
        Sentence(
            "%(host)s did not accept a connection on port %(port)s within %(number)s s.",
            host=host,
            port=port,
            number=f"{timeout:g}",
        )
    )


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _is_address(text: str) -> bool:
    return ":" in text or _ENDS_IN_NUMBER.fullmatch(text) is not None


def _parse(host: str) -> str | Address:
    """The address that `host` is, or the canonical form of the name. Raises `Blocked` if it is neither."""
    invalid = Sentence("'%(host)s' is refused: it is not a valid host name or address.", host=escaped(host[:100]))
    if ":" in host:
        try:
            return IPv6Address(host[1:-1] if host[0] == "[" and host[-1] == "]" else host)
        except ValueError:
            raise Blocked(invalid) from None
    if len(host) > 254:
        raise Blocked(invalid)
    try:
        name = (host if host.isascii() else idna.encode(host, uts46=True).decode()).lower().removesuffix(".")
    except idna.IDNAError:
        raise Blocked(invalid) from None
    if _ENDS_IN_NUMBER.fullmatch(name):
        try:
            return IPv4Address(name)
        except ValueError:
            raise Blocked(
                Sentence("'%(host)s' is refused: write an IPv4 address as four decimal numbers.", host=escaped(host))
            ) from None
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise Blocked(invalid)
    return name


def _exception(entry: str) -> tuple[str | Network, int | None]:
    """One entry of `allow`: a name or a network, and its port, if it has one."""
    text = entry.strip()
    if "/" in text:
        try:
            return ipaddress.ip_network(text), None
        except ValueError as error:
            raise ValueError(f"{entry!r} in {SETTING} is no network such as 10.0.0.0/8: {error}.") from None
    host, port = text, None
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})", text)
    if match:
        host, port = match[1], int(match[2])
    try:
        target = _parse(host)
    except Blocked:
        target = ""
    if not target or (port is not None and not 0 < port < 65536):
        raise ValueError(f"{entry!r} in {SETTING} is no host, host:port, address or network.")
    return (target if isinstance(target, str) else ipaddress.ip_network(_unmapped(target))), port


def _unmapped(address: Address) -> Address:
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _kind(address: Address) -> Sentence | None:
    """What kind of non-public address it is; None for a public one."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _NOT_PUBLIC_V4 if address in network), None)
    kind = next((kind for network, kind in _NOT_PUBLIC_V6 if address in network), None)
    if kind:
        return kind
    if address.scope_id:
        return Sentence("an address bound to one network interface")
    inner = _embedded(address)
    if inner:
        return next((kind for kind in map(_kind, inner) if kind), None)
    if address not in _GLOBAL_UNICAST or address in _PROTOCOL_ASSIGNMENTS:
        return Sentence("a reserved address")
    return None


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that traffic to `address` ends up at.

    Mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056) and Teredo, its server and its client (RFC 4380). The
    IPv4-compatible (RFC 4291) and the translated form (RFC 2765) are outside global unicast and refused as reserved.
    """
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return list(address.teredo)
    return []
