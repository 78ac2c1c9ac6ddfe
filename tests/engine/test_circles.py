"""AREAs that call webhooks of this installation, and through them themselves."""

import pytest

from area.engine import access, circles
from area.engine.cache import Cache
from area.kit.crypto import Keyring
from area.settings import Settings


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://area.example.com/hooks/x", True),
        ("https://area.example.com:443/hooks/x?a=1", True),
        ("http://127.0.0.1:8123/hooks/x", True),
        ("http://localhost:8123/hooks/x", True),
        ("https://other.example.com/hooks/x", True),
        ("http://127.0.0.1:9000/hooks/x", False),
        ("https://hooks.example.org/hooks/catch/1", False),
        ("https://area.example.com/api/hooks/x", False),
        ("https://area.example.com/", False),
    ],
)
def test_own_addresses(address, own):
    settings = Settings(
        _env_file=None, public_url="https://area.example.com", allowed_hosts="other.example.com", port=8123
    )
    assert circles.own_hook(settings)(address) is own


def test_a_chain_is_believed_if_it_was_written_here():
    keyring = Keyring(["a secret of at least 32 characters."])
    chain = list(range(1, 60))
    assert circles.read(keyring, circles.write(keyring, chain)) == chain[-circles.LONGEST :]
    other = Keyring(["another secret of 32 characters...."])
    for value in ("", "x", circles.write(other, chain), "x" * 5000):
        assert circles.read(keyring, value) == []


async def test_each_run_has_its_own_chain(state):
    """Services without a connection share a client, which must not carry the chain of one run into another."""
    service, tokens = state.registry.services["http"], Cache(state).tokens
    address = f"{state.settings.base_url}/hooks/x"

    def sent(chain):
        client = access.context(state, tokens, service, None, None, chain=chain).http
        return client, client._given(address, {"A": "1"})

    first, headers = sent([1])
    assert circles.read(state.keyring, headers[circles.HEADER]) == [1]
    _, others = sent([2, 3])
    assert circles.read(state.keyring, others[circles.HEADER]) == [2, 3]
    assert circles.read(state.keyring, first._given(address, None)[circles.HEADER]) == [1]
    assert first._given("https://example.org/hooks/x", None) == {}
    assert sent([])[1] == {"A": "1"}
