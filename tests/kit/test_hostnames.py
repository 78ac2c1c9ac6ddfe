import pytest
from hypothesis import given
from hypothesis import strategies as st

from area.kit.hostnames import is_address, is_loopback, matches, parse_host, parse_pattern


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("area.example.org", "area.example.org"),
        ("AREA.Example.ORG:8443", "area.example.org"),
        ("area.example.org.", "area.example.org"),
        ("area.example.org.:80", "area.example.org"),
        ("my_nas:8080", "my_nas"),
        ("localhost:", "localhost"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("2130706433", "2130706433"),
    ],
)
def test_hosts(value, host):
    assert parse_host(value) == host


@pytest.mark.parametrize(
    "value",
    [
        "", ".", "..", ":80", "a..b", "a:b", "a:99999", "a:-1", "a:80:80", "::1", "[::1", "[]", "[evil.example]", "[::1%25lo]",
        "a b", " a", "a\t", "user@a", "a/b", "a?b", "a#b", "a,b", "a\\b", "http://a", "-a", "a-", "a" * 64, "a." * 127 + "b",
        "bücher.example", "a\0", "a\r\nb", "٣.example", "a:٨٠", "*.example.org",
    ],
)  # fmt: skip
def test_what_is_no_host(value):
    assert parse_host(value) is None


@given(st.text())
def test_whatever_comes_is_a_host_or_not(value):
    host = parse_host(value)
    assert host is None or parse_host(f"[{host}]" if ":" in host else host) == host


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "::1", "fe80::1", "::ffff:10.0.0.1"])
def test_addresses(host):
    assert is_address(host)


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "1.2.3.4.5", "a.b"])
def test_what_a_resolver_might_be_asked_for_is_no_address(host):
    assert not is_address(host)


def test_loopback():
    for host in ("localhost", "area.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert is_loopback(host), host
    for host in ("localhost.example", "notlocalhost", "10.0.0.1", "::2", "0.0.0.0", "127.example"):
        assert not is_loopback(host), host


def test_patterns():
    assert parse_pattern("NAS.local.") == "nas.local"
    assert parse_pattern("bücher.example") == "xn--bcher-kva.example"
    assert parse_pattern("FD00::1") == "fd00::1"
    assert parse_pattern("*.Example.org") == "*.example.org"
    for text in ("*", "*.", "a.*.b", "*example.org", "http://a", "a:80", "", "a b"):
        with pytest.raises(ValueError, match="is not a host name"):
            parse_pattern(text)
    assert matches("a.example.org", "*.example.org")
    assert matches("a.b.example.org", "*.example.org")
    assert not matches("example.org", "*.example.org")
    assert not matches("evilexample.org", "*.example.org")
    assert not matches("a.example.org", "example.org")
