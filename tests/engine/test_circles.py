"""AREAs that call webhooks of this installation, and through them themselves."""

import pytest

from area.engine import circles
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
