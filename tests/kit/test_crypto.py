"""Encryption, signatures, tokens, passwords."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import passwords

from area.kit import crypto
from area.kit.crypto import (
    BadSignature,
    Keyring,
    PasswordTooLong,
    SignatureExpired,
    Undecryptable,
    UnusablePassword,
    check_password,
    hash_password,
    hash_token,
    new_token,
)

OLD, NEW = "an old secret of 32 characters..", "a new secret of 32 characters..."
CONTEXT = "7|github|access_token"
ANY_TEXT = st.text(st.characters(codec=None, categories=None))


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([NEW, OLD])


@settings(deadline=None)
@given(ANY_TEXT, st.text())
def test_what_goes_in_comes_out(text: str, context: str) -> None:
    keyring = Keyring([NEW])
    token = keyring.encrypt(text, context)
    assert keyring.decrypt(token, context) == text
    assert token.isascii()
    assert len(text) < 3 or text not in token


def test_the_form_of_a_token(keyring: Keyring) -> None:
    version, key_id, body = keyring.encrypt("secret", CONTEXT).split(".")
    assert version == "v1"
    assert len(bytes.fromhex(key_id)) == 4
    assert len(body) == -(-(12 + 6 + 16) * 4 // 3)  # nonce, text, tag; without padding


def test_the_same_text_is_never_encrypted_alike(keyring: Keyring) -> None:
    assert len({keyring.encrypt("same", CONTEXT) for _ in range(100)}) == 100


@pytest.mark.parametrize("context", ["", "8|github|access_token", "7|github|refresh_token", "7|gitlab|access_token"])
def test_a_token_is_bound_to_its_place(keyring: Keyring, context: str) -> None:
    with pytest.raises(Undecryptable, match="belongs elsewhere"):
        keyring.decrypt(keyring.encrypt("secret", CONTEXT), context)


def test_rotation() -> None:
    token = Keyring([OLD]).encrypt("secret", CONTEXT)
    both = Keyring([NEW, OLD])
    assert both.decrypt(token, CONTEXT) == "secret"
    assert both.needs_rotation(token)
    again = both.encrypt(both.decrypt(token, CONTEXT), CONTEXT)
    assert not both.needs_rotation(again)
    assert Keyring([NEW]).decrypt(again, CONTEXT) == "secret"
    with pytest.raises(Undecryptable, match="another secret key"):
        Keyring([NEW]).decrypt(token, CONTEXT)


@settings(deadline=None)
@given(st.data())
def test_a_token_altered_anywhere_is_refused(data: st.DataObject) -> None:
    keyring = Keyring([NEW, OLD])
    token = keyring.encrypt("secret", CONTEXT)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[place]))
    with pytest.raises(Undecryptable):
        keyring.decrypt(token[:place] + other + token[place + 1 :], CONTEXT)


@settings(deadline=None)
@given(ANY_TEXT)
def test_anything_else_is_refused(token: str) -> None:
    keyring = Keyring([NEW])
    with pytest.raises(Undecryptable):
        keyring.decrypt(token, CONTEXT)
    with pytest.raises(Undecryptable):
        keyring.decrypt(keyring.encrypt("", CONTEXT)[:12] + token, CONTEXT)
    assert keyring.needs_rotation(token)


def test_no_message_holds_a_secret(keyring: Keyring) -> None:
    for token in ("v1.00000000.AAAA", "v2.x", keyring.encrypt("hidden", "x")):
        with pytest.raises(Undecryptable) as refusal:
            keyring.decrypt(token, CONTEXT)
        assert NEW not in str(refusal.value)
        assert "hidden" not in str(refusal.value)
    assert NEW not in repr(vars(keyring)["_ciphers"])
    assert NEW not in repr(keyring)


@pytest.mark.parametrize("secrets", [[], [""], [NEW, ""], NEW])
def test_a_keyring_needs_secrets(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="one secret or more"):
        Keyring(secrets)


@settings(deadline=None)
@given(st.text())
def test_signed_values(value: str) -> None:
    keyring = Keyring([NEW])
    signed = keyring.sign(value, "cursor", 60)
    assert keyring.unsign(signed, "cursor") == value
    assert signed.isascii()


def test_what_a_clock_that_was_ahead_signed_does_not_last(keyring: Keyring) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(days=366)):
        ahead = keyring.sign("x", "ticket", 600)
    assert keyring.unsign(ahead, "ticket") == "x"
    assert keyring.unsign(keyring.sign("x", "ticket", 600), "ticket", 600) == "x"
    with pytest.raises(SignatureExpired):
        keyring.unsign(ahead, "ticket", 600)


def test_a_signature_is_for_its_purpose_and_key(keyring: Keyring) -> None:
    signed = keyring.sign("42", "cursor", 60)
    for other, purpose in ((keyring, "state"), (Keyring(["unknown"]), "cursor")):
        with pytest.raises(BadSignature, match="for this purpose"):
            other.unsign(signed, purpose)
    assert Keyring(["another", NEW]).unsign(signed, "cursor") == "42"


def test_a_signature_expires(keyring: Keyring) -> None:
    with time_machine.travel("2026-11-23T12:00:00Z", tick=False) as clock:
        signed = keyring.sign("42", "state", 600)
        clock.shift(timedelta(seconds=599))
        assert keyring.unsign(signed, "state") == "42"
        clock.shift(timedelta(seconds=1))
        with pytest.raises(SignatureExpired):
            keyring.unsign(signed, "state")


@settings(deadline=None)
@given(st.data())
def test_a_signed_value_altered_anywhere_is_refused(data: st.DataObject) -> None:
    keyring = Keyring([NEW])
    signed = keyring.sign("value", "state", 600)
    place = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.characters().filter(lambda c: c != signed[place]))
    with pytest.raises(BadSignature):
        keyring.unsign(signed[:place] + other + signed[place + 1 :], "state")


@settings(deadline=None)
@given(ANY_TEXT)
def test_any_other_signed_value_is_refused(signed: str) -> None:
    with pytest.raises(BadSignature):
        Keyring([NEW]).unsign(signed, "state")


def test_tokens() -> None:
    tokens = {new_token("area_") for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(token.startswith("area_") and len(token) == 48 for token in tokens)
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_token("\ud800") != hash_token("\ud801")


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in passwords.REAL.items():
        monkeypatch.setattr(crypto, name, value)


def test_passwords() -> None:
    stored = hash_password("correct horse")
    assert stored.startswith("$2b$04$")
    assert check_password("correct horse", stored)
    assert not check_password("correct hors", stored)
    assert not check_password("correct horse ", stored)
    assert hash_password("correct horse") != stored


def test_72_bytes_are_all_that_fits() -> None:
    assert check_password("é" * 36, hash_password("é" * 36))
    with pytest.raises(PasswordTooLong, match="has 74 bytes"):
        hash_password("é" * 37)
    with pytest.raises(PasswordTooLong):
        hash_password("x" * 1_000_000)
    assert not check_password("x" * 73, hash_password("x" * 72))


@pytest.mark.parametrize("password", ["", "a\0b", "\0", "a\ud800"])
def test_passwords_that_bcrypt_cannot_take(password: str) -> None:
    with pytest.raises(UnusablePassword):
        hash_password(password)
    assert not check_password(password, None)


@pytest.mark.usefixtures("dear")
def test_no_account_takes_as_long_as_one() -> None:
    stored = hash_password("correct horse")
    assert stored.startswith("$2b$12$")

    def spent(password: str, against: str | None) -> float:
        start = time.process_time()
        assert not check_password(password, against)
        return time.process_time() - start

    usual = spent("wrong", stored)
    for other in (spent("wrong", None), spent("x" * 100, stored), spent("", stored), spent("a\0", None)):
        assert 0.5 < other / usual < 2


def test_a_stored_hash_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="salt"):
        check_password("password", "plain text")
