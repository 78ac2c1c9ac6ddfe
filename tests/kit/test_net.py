"""The guard: what counts as public, which spellings get through, and that what was checked is what is connected to."""

import asyncio
import ipaddress
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import uvloop
from hypothesis import given, strategies

from area.kit import net
from area.kit.fair import Fair, working_for
from area.kit.net import Blocked, Guard, LookupFailed, is_public

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1:248:1893:25c8:1946"


@pytest.fixture
def names(monkeypatch):
    """Names and the answers of each lookup in turn (the last one repeats); `asked` counts. Numbers resolve as ever."""
    real = socket.getaddrinfo
    table: dict[str, list[list[str]]] = {}
    request: list[str] = []

    def fake(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        if host not in table:
            return real(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        request.append(host)
        answers = table[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        results = []
        for address in answer:
            results += real(address, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        return results

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    fake.table = table
    fake.asked = request
    return fake


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        PUBLIC_V6,
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2001:200::1",
        "2400:cb00::1",
        "3ffe:ffff::1",
        "::ffff:8.8.8.8",
        "::ffff:808:808",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:f7f7:f7f7",  # Teredo: server 65.54.227.120, client 8.8.8.8
    ],
)
def test_public(address):
    assert is_public(address)


NOT_PUBLIC = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "internal address of a carrier",
    "100.100.100.200": "internal address of a carrier",
    "100.127.255.255": "internal address of a carrier",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "reserved",
    "192.0.2.1": "documentation",
    "192.88.99.1": "reserved",
    "192.168.0.1": "private",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "168.63.129.16": "cloud provider",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "reserved",
    "::8.8.8.8": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:0:127.0.0.1": "reserved",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::10.0.0.1": "private network",
    "64:ff9b:1:ffff::8.8.8.8": "private network",
    "64:ff9b:2::1": "reserved",
    "100::1": "reserved",
    "2001:0:7f00:1:8000:63bf:f7f7:f7f7": "loopback",  # Teredo, private server
    "2001:0:4136:e378:8000:63bf:80ff:fffe": "loopback",  # Teredo, private client
    "2001:2::1": "benchmarking",
    "2001:10::1": "reserved",
    "2001:20::1": "reserved",
    "2001:db8::1": "documentation",
    "2002:7f00:1::1": "loopback",
    "2002:a00:1::1": "private",
    "2002:a9fe:a9fe::1": "link-local",
    "3fff::1": "documentation",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "2606:4700::1111%eth0": "network interface",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
}


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "text", ["", "example.com", "127.1", "2130706433", "0x7f.0.0.1", "8.8.8.8 ", "08.8.8.8", "[::1]"]
)
def test_what_is_no_address_is_not_public(text):
    assert not is_public(text)


@pytest.mark.parametrize(("address", "kind"), NOT_PUBLIC.items())
async def test_the_refusal_says_what_why_and_what_to_do(address, kind):
    with pytest.raises(Blocked) as caught:
        await Guard().resolve(address, 8443)
    text = str(caught.value)
    shown = str(ipaddress.ip_address(address))
    entry = f"[{shown}]:8443" if ":" in address else f"{shown}:8443"
    assert text.startswith(f"{shown} is refused: it is ")
    assert kind in text
    assert text.endswith(f"An administrator can allow it by adding {entry} to AREA_ALLOW_PRIVATE_NETWORK.")


@given(strategies.ip_addresses(v=4))
def test_ipv4_is_judged_alike_in_every_form(address):
    public = is_public(str(address))
    number = int(address)
    assert public <= (address.is_global and not address.is_multicast)
    assert is_public(f"::ffff:{address}") == public
    assert is_public(f"64:ff9b::{address}") == public
    assert is_public(str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1))) == public
    assert not is_public(f"::{address}")
    assert not is_public(f"64:ff9b:1::{address}")


@given(strategies.ip_addresses(v=6))
def test_ipv6_outside_global_unicast_is_public_only_as_ipv4(address):
    if is_public(str(address)):
        assert any(address in ipaddress.ip_network(net) for net in ("2000::/3", "64:ff9b::/96", "::ffff:0:0/96"))
        assert address.is_global or address.teredo or address.ipv4_mapped


async def test_what_the_refusal_advises_lifts_it():
    for address in NOT_PUBLIC:
        with pytest.raises(Blocked) as caught:
            await Guard().resolve(address, 8443)
        entry = str(caught.value).split("adding ")[1].split(" to ")[0]
        assert await Guard([entry]).resolve(address, 8443)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0x0.0x0.0x1",
        "0X7F.1",
        "017700000001",
        "0177.0.0.1",
        "0177.0.0.01",
        "127.1",
        "127.0.1",
        "127.0.0.1.1",
        "00127.0.0.1",
        "127.000.000.001",
        "0",
        "0.0",
        "1",
        "256.256.256.256",
        "99999999999",
        "169.254.43518",
        "example.0x7f",
        "example.1",
        "0x",
        "\uff11\uff12\uff17.1",
        "127\u30021",
    ],
)
async def test_odd_spellings_of_numbers_are_refused(host, names):
    with pytest.raises(Blocked, match=r"four decimal numbers"):
        await Guard().resolve(host, 80)
    with pytest.raises(Blocked, match=r"four decimal numbers"):
        Guard().resolve_sync(host, 80)
    assert names.asked == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1.", "①②⑦.⓪.⓪.①", "\uff11\uff12\uff17\u3002\uff10\u3002\uff10\u3002\uff11", "[::1]", "::1", "[0:0:0:0:0:0:0:1]", "::FFFF:127.0.0.1"],
)  # fmt: skip
async def test_spellings_of_loopback_are_refused_as_loopback(host):
    with pytest.raises(Blocked, match="loopback"):
        await Guard().resolve(host, 80)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "..",
        "a..b",
        ".example.com",
        "example.com..",
        "a b",
        "exa\x00mple.com",
        "example.com\x00",
        "\x00",
        "example.com\r\n",
        "example.com/",
        "user@example.com",
        "exam%70le.com",
        "a" * 64 + ".com",
        ".".join(["abcdefgh"] * 40),
        "é" * 300,
        "[example.com]",
        "[127.0.0.1]",
        "[::1",
        "::1]",
        ":",
        "::1::",
        "[]:",
        "1:2:3:4:5:6:7:8:9",
        "xn--\u0661.example",
        "\u200d",
        "*",
    ],
)
async def test_malformed_hosts_are_refused_without_a_lookup(host, names):
    with pytest.raises(Blocked, match="not a valid host name"):
        await Guard().resolve(host, 80)
    assert names.asked == []


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
async def test_impossible_ports_are_refused(port):
    with pytest.raises(Blocked, match="not a port number"):
        await Guard().resolve("8.8.8.8", port)


async def test_a_name_is_looked_up_once_in_its_canonical_form(names):
    names.table["example.com"] = [[PUBLIC, PUBLIC_V6]]
    for host in ("example.com", "EXAMPLE.com", "example.com.", "\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25\u3002com"):
        assert await Guard().resolve(host, 443) == [PUBLIC, PUBLIC_V6]
        assert Guard().resolve_sync(host, 443) == [PUBLIC, PUBLIC_V6]
    assert names.asked == ["example.com"] * 8


async def test_international_names_are_encoded(names):
    names.table["xn--strae-oqa.example"] = [[PUBLIC]]
    assert await Guard().resolve("Straße.example", 443) == [PUBLIC]
    assert Guard().check("BÜCHER.example.", 443) == "xn--bcher-kva.example"


async def test_addresses_need_no_lookup(names):
    assert await Guard().resolve(PUBLIC, 443) == [PUBLIC]
    assert await Guard().resolve(f"[{PUBLIC_V6.upper()}]", 443) == [PUBLIC_V6]
    assert names.asked == []


@pytest.mark.parametrize(
    "bad", ["10.0.0.1", "127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1", "0.0.0.0"]
)
async def test_one_bad_address_among_good_ones_refuses_the_name(names, bad):
    for answer in ([bad], [PUBLIC, bad], [bad, PUBLIC], [PUBLIC_V6, PUBLIC, bad]):
        names.table["mixed.example"] = [answer]
        with pytest.raises(Blocked, match=r"mixed\.example is refused: it resolves to .*mixed\.example:443"):
            await Guard().resolve("mixed.example", 443)
        with pytest.raises(Blocked):
            Guard().resolve_sync("mixed.example", 443)


async def test_a_name_that_changes_its_answer_is_checked_each_time(names):
    guard = Guard()
    names.table["rebind.example"] = [[PUBLIC], ["169.254.169.254"]]
    assert await guard.resolve("rebind.example", 80) == [PUBLIC]
    with pytest.raises(Blocked, match="link-local"):
        await guard.resolve("rebind.example", 80)


async def test_localhost_and_its_kin_are_refused():
    for host in ("localhost", "LOCALHOST.", "\uff4cocalhost"):
        with pytest.raises(Blocked, match="loopback"):
            await Guard().resolve(host, 80)


async def test_a_name_that_does_not_resolve_is_an_oserror(monkeypatch):
    def unknown(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror):
        await Guard().resolve("nowhere.example", 80)
    with pytest.raises(OSError):
        Guard().resolve_sync("nowhere.example", 80)


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("intra.example", "intra.example", 80, True),
        ("intra.example", "intra.example", 8080, True),
        ("INTRA.example.", "intra.EXAMPLE", 80, True),
        (" intra.example ", "intra.example", 80, True),
        ("intra.example:8080", "intra.example", 8080, True),
        ("intra.example:8080", "intra.example", 80, False),
        ("intra.example", "sub.intra.example", 80, False),
        ("intra.example", "10.1.2.3", 80, False),
        ("10.0.0.0/8", "intra.example", 80, True),
        ("10.0.0.0/8", "10.200.0.1", 80, True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", 80, True),
        ("10.0.0.0/8", "[::ffff:a00:1]", 80, True),
        ("10.0.0.0/8", "192.168.0.1", 80, False),
        ("10.0.0.0/8", "64:ff9b::10.0.0.1", 80, False),
        ("10.0.0.0/8", "127.0.0.1", 80, False),
        ("10.0.0.0/8", "167772161", 80, False),
        ("10.1.2.3", "intra.example", 80, True),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.4", "intra.example", 80, False),
        ("10.1.2.3:8080", "10.1.2.3", 8080, True),
        ("10.1.2.3:8080", "intra.example", 8080, True),
        ("10.1.2.3:8080", "10.1.2.3", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "[::1]", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("::1", "127.0.0.1", 80, False),
        ("fd00::/8", "fd12:3456::1", 80, True),
        ("::ffff:10.1.2.3", "10.1.2.3", 80, True),
        ("fe80::/10", "fe80::1%eth0", 80, True),
        ("bücher.example", "xn--bcher-kva.example", 80, True),
        ("0.0.0.0/0", "127.0.0.1", 80, True),
        ("0.0.0.0/0", "::1", 80, False),
    ],
)
async def test_exceptions(names, entry, host, port, allowed):
    names.table["intra.example"] = names.table["sub.intra.example"] = [["10.1.2.3"]]
    names.table["xn--bcher-kva.example"] = [["192.168.1.1"]]
    guard = Guard([entry])
    if allowed:
        assert await guard.resolve(host, port) == guard.resolve_sync(host, port) != []
    else:
        with pytest.raises(Blocked):
            await guard.resolve(host, port)
        with pytest.raises(Blocked):
            guard.resolve_sync(host, port)


async def test_an_exception_for_one_address_does_not_excuse_another(names):
    names.table["two.example"] = [["10.0.0.1", "10.0.0.2"]]
    with pytest.raises(Blocked, match=r"10\.0\.0\.2"):
        await Guard(["10.0.0.1"]).resolve("two.example", 80)
    assert await Guard(["10.0.0.1", "10.0.0.2"]).resolve("two.example", 80) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "*",
        "*.example.com",
        "http://intra.example",
        "intra.example:",
        "intra.example:http",
        "intra.example:0",
        "intra.example:65536",
        "intra.example:999999",
        ":80",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/8:80",
        "10.0.0.256",
        "127.1",
        "2130706433",
        "::1:",
        "[::1",
        "[::1]:",
        "[intra.example]:80",
        "intra.example 10.0.0.1",
        "intra\x00.example",
    ],
)
def test_a_malformed_exception_is_named(entry):
    with pytest.raises(ValueError) as caught:
        Guard(["good.example", entry])
    assert repr(entry) in str(caught.value)


async def test_open_socket_connects(listening):
    sock = await Guard([f"127.0.0.1:{listening}"]).open_socket("127.0.0.1", listening, 5)
    with sock:
        assert sock.getpeername() == ("127.0.0.1", listening)
        assert not sock.getblocking()


def test_open_socket_sync_connects_and_keeps_the_timeout(listening):
    with Guard([f"127.0.0.1:{listening}"]).open_socket_sync("127.0.0.1", listening, 5) as sock:
        assert sock.getpeername() == ("127.0.0.1", listening)
        assert sock.gettimeout() == 5


async def test_sockets_are_guarded(listening):
    with pytest.raises(Blocked):
        await Guard().open_socket("127.0.0.1", listening, 5)
    with pytest.raises(Blocked):
        Guard().open_socket_sync("127.0.0.1", listening, 5)


async def test_a_socket_goes_to_the_address_that_was_checked(names, listening):
    """The second answer, which a second lookup between check and connection would get, is another one."""
    guard = Guard([f"127.0.0.1:{listening}"])
    for open_it in (guard.open_socket, lambda *provided: asyncio.to_thread(guard.open_socket_sync, *provided)):
        names.asked.clear()
        names.table["rebind.example"] = [["127.0.0.1"], ["127.0.0.2"]]
        with await open_it("rebind.example", listening, 5) as sock:
            assert sock.getpeername() == ("127.0.0.1", listening)
        assert names.asked == ["rebind.example"]
        with pytest.raises(Blocked):
            await open_it("rebind.example", listening, 5)


async def test_the_next_address_is_tried_when_one_refuses(names, listening):
    names.table["two.example"] = [["127.0.0.9", "127.0.0.1"]]
    guard = Guard(["two.example"])
    with await guard.open_socket("two.example", listening, 5) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    with guard.open_socket_sync("two.example", listening, 5) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_refused_connection_is_the_error_of_the_last_address(names):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    names.table["two.example"] = [["127.0.0.9", "127.0.0.1"]]
    with pytest.raises(ConnectionRefusedError):
        await Guard(["two.example"]).open_socket("two.example", port, 5)
    with pytest.raises(ConnectionRefusedError):
        Guard(["two.example"]).open_socket_sync("two.example", port, 5)


@pytest.fixture
def full():
    """A port that accepts nothing more: its backlog is full, so that connecting to it hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        time.sleep(0.05)
        yield address[1]
        for sock in waiting:
            sock.close()


async def test_connecting_is_bounded_in_time(full):
    guard = Guard(["127.0.0.1"])
    with pytest.raises(TimeoutError, match=r"did not accept a connection on port \d+ within 0\.3 s"):
        await guard.open_socket("127.0.0.1", full, 0.3)
    with pytest.raises(TimeoutError, match=r"within 0\.3 s"):
        guard.open_socket_sync("127.0.0.1", full, 0.3)


async def test_a_silent_address_leaves_time_for_the_next(names, full):
    """Both share the port, so the second listens on another address of loopback."""
    names.table["two.example"] = [["127.0.0.1", "127.0.0.5"]]
    with socket.create_server(("127.0.0.5", full)):
        with await Guard(["two.example"]).open_socket("two.example", full, 2) as sock:
            assert sock.getpeername()[0] == "127.0.0.5"
        with Guard(["two.example"]).open_socket_sync("two.example", full, 2) as sock:
            assert sock.getpeername()[0] == "127.0.0.5"


async def test_a_lookup_that_hangs_is_bounded_too(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: release.wait(10) and [])
    guard = Guard()
    try:
        with pytest.raises(TimeoutError, match="Looking up"):
            await guard.open_socket("slow.example", 80, 0.2)
        with pytest.raises(TimeoutError, match="Looking up"):
            guard.open_socket_sync("slow.example", 80, 0.2)
    finally:
        release.set()


async def test_a_cancelled_connection_leaves_no_socket(full):
    """The warning about an unclosed socket would be an error."""
    task = asyncio.create_task(Guard(["127.0.0.1"]).open_socket("127.0.0.1", full, 10))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_under_uvloop(names, listening):
    names.table["intra.example"] = [["127.0.0.1"]]
    names.table["evil.example"] = [["127.0.0.2"]]
    guard = Guard([f"127.0.0.1:{listening}"])

    async def all_of_it():
        with await guard.open_socket("intra.example", listening, 5) as sock:
            assert sock.getpeername() == ("127.0.0.1", listening)
        for host in ("evil.example", "[::1]", "0x7f.1", "127.0.0.1.", "localhost"):
            with pytest.raises(Blocked):
                await guard.resolve(host, 80)
        return True

    names.table["localhost"] = [["127.0.0.1"]]
    loop = uvloop.new_event_loop()
    try:
        assert loop.run_until_complete(all_of_it())
    finally:
        loop.close()


# names that take long


@pytest.fixture
def slow(monkeypatch):
    """Lookups of names that begin with "slow" take until `end` is set; `begun` counts them."""
    real, lookups = socket.getaddrinfo, SimpleNamespace(begun=[], end=threading.Event())

    def fake(host, port, *args, **options):
        if host.startswith("slow"):
            lookups.begun.append(host)
            lookups.end.wait(60)
        return real(PUBLIC, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    yield lookups
    lookups.end.set()


async def test_a_hundred_slow_names_of_one_user_do_not_delay_anothers(slow):
    guard = Guard()
    with working_for("user 1"):
        tasks = [asyncio.create_task(guard.resolve(f"slow{number}.example", 443)) for number in range(100)]
    while len(slow.begun) < 4:
        await asyncio.sleep(0.001)
    with working_for("user 2"):
        assert await guard.resolve("quick.example", 443) == [PUBLIC]
    assert len(slow.begun) == 4
    assert not any(task.done() for task in tasks)
    slow.end.set()
    assert await asyncio.gather(*tasks) == [[PUBLIC]] * 100


async def test_a_name_is_waited_for_no_longer_than_its_limit(slow, monkeypatch):
    monkeypatch.setattr(net, "LOOKUP_SECONDS", 0.05)
    with working_for("user 3"), pytest.raises(LookupFailed, match=r"took more than 0\.05 s"):
        await Guard().resolve("slow.example", 443)
    with working_for("user 3"), pytest.raises(LookupFailed):
        await Guard().open_socket("slow.example", 443, 30)


async def test_who_looks_up_too_many_names_is_told_so(slow, monkeypatch):
    monkeypatch.setattr(net, "lookups", Fair("few-lookups", "Too many names.", slots=1, per_key=1, waiting_per_key=1))
    guard = Guard()
    tasks = [asyncio.create_task(guard.resolve("slow.example", 443)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(LookupFailed, match="Too many names"):
        await guard.resolve("slow.example", 443)
    slow.end.set()
    await asyncio.gather(*tasks)


# this machine's own addresses, and other protocols' ports


@pytest.fixture
def all_public(monkeypatch):
    monkeypatch.setattr(net, "_kind", lambda _address: "")


@pytest.mark.parametrize("binds_any", [False, True])
def test_the_addresses_of_this_machine_are_known(binds_any, monkeypatch):
    monkeypatch.setattr(net, "_binds_any", lambda _family: binds_any)
    for address, own in {"127.0.0.1": True, "::ffff:127.0.0.1": True, PUBLIC: False, PUBLIC_V6: False}.items():
        assert net.is_own(ipaddress.ip_address(address)) is own


async def test_an_own_address_is_refused_although_it_is_public(names, all_public):
    names.table["me.example"] = [["127.0.0.1"]]
    with pytest.raises(
        Blocked, match=r"it resolves to 127\.0\.0\.1, which is an address of this machine itself\. An admin"
    ):
        await Guard().resolve("me.example", 443)
    for refuse in (Guard().resolve, Guard().open_socket):
        with pytest.raises(Blocked, match=r"127\.0\.0\.1 is refused: it is an address of this machine itself"):
            await refuse("127.0.0.1", 443, *([5] if refuse.__name__ == "open_socket" else []))
    with pytest.raises(Blocked, match=r"adding 127\.0\.0\.1:443 to AREA_ALLOW_PRIVATE_NETWORK"):
        Guard().admit_http("127.0.0.1", 443)


async def test_an_own_address_may_be_allowed(names, all_public):
    names.table["me.example"] = [["127.0.0.1"]]
    for allowed in ("me.example", "me.example:443", "127.0.0.1", "127.0.0.0/8"):
        assert await Guard([allowed]).resolve("me.example", 443) == ["127.0.0.1"]


@pytest.mark.parametrize("url", ["https://area.example", "https://AREA.example:443", "http://area.example:443/"])
async def test_areas_own_public_place_may_be_called(url, names, all_public):
    names.table["area.example"] = names.table["other.example"] = [["127.0.0.1"]]
    guard = Guard(public_url=url)
    assert await guard.resolve("area.example", 443) == ["127.0.0.1"]
    for host, port in (("area.example", 22), ("area.example", 8080), ("other.example", 443)):
        with pytest.raises(Blocked, match="this machine itself"):
            await guard.resolve(host, port)
    Guard(public_url="http://127.0.0.1:8080").admit_http("127.0.0.1", 8080)


async def test_areas_public_place_is_no_way_into_a_private_network(names):
    names.table["area.example"] = [["127.0.0.1"]]
    with pytest.raises(Blocked, match="loopback"):
        await Guard(public_url="https://area.example").resolve("area.example", 443)


@pytest.mark.parametrize("port", [22, 25, 143, 587, 6379, 6667, 11211])
def test_http_does_not_go_to_the_ports_of_other_protocols(port):
    for host in ("mail.example", "8.8.8.8", "2606:4700::1111"):
        with pytest.raises(Blocked, match=rf":{port} is refused: port {port} isn't used for HTTP"):
            Guard().admit_http(host, port)
    with pytest.raises(Blocked, match="isn't used for HTTP"):
        Guard(["mail.example", "8.8.8.0/24"]).admit_http("mail.example", port)


def test_http_goes_to_a_port_that_an_administrator_names():
    guard = Guard(["mail.example:25", "8.8.8.8:25", "[2606:4700::1111]:25"])
    for host in ("mail.example", "8.8.8.8", "2606:4700::1111"):
        guard.admit_http(host, 25)
    for port in (80, 443, 8080, 8443, 9200):
        Guard().admit_http("mail.example", port)


@given(strategies.text(max_size=80), strategies.integers(-5, 70_000))
def test_any_host_is_either_canonical_or_refused(host, port):
    try:
        name = Guard().check(host, port)
    except Blocked:
        return
    assert Guard().check(name, port) == name
