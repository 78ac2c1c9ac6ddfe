"""Secrets: encryption of stored values, signatures of values we hand out, tokens, passwords.

Stored values use AES-256-GCM (NIST SP 800-38D) with a key derived per purpose by HKDF-SHA256 (RFC 5869). Each is bound
to its place by a context, so that it can't be moved to another row, and names its key, so that keys can be rotated.
"""

import binascii
import hashlib
import hmac
import os
import secrets
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import NoReturn

import bcrypt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from area.kit import clock
from area.kit.fair import Fair
from area.kit.sentences import Sentence, SentenceError

BCRYPT_COST = 12
MAX_PASSWORD = 72  # bytes: bcrypt sees no more

_STRANGERS = max(1, (os.cpu_count() or 1) // 2)  # slots: half of the cores are for everything else

# Passwords are hashed here: a few at a time, after everything else that the machine does. Sign-ins from a place where
# the account signed in before don't wait behind strangers.
hashing_known = Fair(
    "hashing-known",
    "AREA is still checking another password of yours. Try again in a few seconds.",
    slots=2,
    per_key=1,
    waiting=32,
    waiting_per_key=4,
    patience=10,
    nice=2,
)
hashing = Fair(
    "hashing",
    "Many people are signing in right now. Try again in a few seconds.",
    slots=_STRANGERS,
    per_key=1,
    waiting=16 * _STRANGERS,  # as many as are hashed within the patience
    waiting_per_key=16,  # an office signs in from one address
    patience=10,
    nice=10,  # a tenth of the event loop's share of a busy core
)

SKEW = 600  # seconds between the clocks of several machines
_VERSION = "v1"
_NONCE = 12  # random bytes; safe for 2**32 values per key
_TAG = 16
# the hash of an unknown password: a check without an account takes as long as one with an account
_NOBODY = b"$2b$12$6BX4Uw9ENyw2m.r78cJm1uvYff5lQv3i.5KuDDF5p5eK9Nw6oxUYO"


class Undecryptable(SentenceError):
    """An encrypted value that can't be read. The message says whether its key is missing or it is not authentic."""


class BadSignature(ValueError):
    """A value that we did not sign, or not for this purpose, or that was altered."""


class SignatureExpired(BadSignature):
    """A signed value that has expired."""


class UnusablePassword(SentenceError, ValueError):
    """A password that bcrypt can't take. The message is for the person who chose it."""


class PasswordTooLong(UnusablePassword):
    """A password of more than `MAX_PASSWORD` bytes in UTF-8."""


class Keyring:
    """The installation's secrets: the first encrypts and signs, all of them decrypt and verify.

    To rotate, put a new secret first, re-encrypt what `needs_rotation`, then remove the old one. Raises `ValueError` if
    there is no secret or one is empty; the settings check how strong they are.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if isinstance(secrets, str) or not secrets or not all(secrets):
            raise ValueError("A keyring needs a list of one secret or more, none of them empty.")
        self._secrets = tuple(dict.fromkeys(secret.encode() for secret in secrets))
        self._ciphers = {_key_id(secret): AESGCM(_derive(secret, "credentials")) for secret in reversed(self._secrets)}
        self._current = _key_id(self._secrets[0])
        self.key_ids = frozenset(self._ciphers)

    def encrypt(self, text: str, context: str) -> str:
        """`text` as `v1.<key id>.<base64url>`; decrypting needs the same `context`, such as `7|github|token`."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._ciphers[self._current].encrypt(nonce, text.encode("utf-8", "surrogatepass"), context.encode())
        return f"{_VERSION}.{self._current}.{_encode(nonce + sealed)}"

    def decrypt(self, token: str, context: str) -> str:
        """The text that `encrypt` got. Raises `Undecryptable`."""
        version, _, rest = token.partition(".")
        key_id, _, body = rest.partition(".")
        if version != _VERSION:
            raise Undecryptable(Sentence("This isn't an encrypted value, or a newer version of AREA encrypted it."))
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Undecryptable(
                Sentence(
                    "It was encrypted with another secret key (%(key_id)s). Add that key after the current one.",
                    key_id=key_id[:8],
                )
            )
        data = _decode(body)
        if data is None or len(data) < _NONCE + _TAG:
            raise Undecryptable(Sentence("The encrypted value is damaged."))
        try:
            text = cipher.decrypt(data[:_NONCE], data[_NONCE:], context.encode())
        except InvalidTag as error:
            raise Undecryptable(Sentence("The encrypted value was altered, or it belongs elsewhere.")) from error
        return text.decode("utf-8", "surrogatepass")

    def needs_rotation(self, token: str) -> bool:
        """Whether `token` is not encrypted with the first secret."""
        return not token.startswith(f"{_VERSION}.{self._current}.")

    def sign(self, value: str, purpose: str, max_age_seconds: float) -> str:
        """`value`, which anyone can read, with a proof that we issued it for `purpose`. Expires after
        `max_age_seconds`.
        """
        expires = int(clock.now().timestamp() + max_age_seconds)
        payload = _encode(f"{expires}.{value}".encode())
        return f"{payload}.{_encode(_mac(self._secrets[0], purpose, payload))}"

    def unsign(self, signed: str, purpose: str, max_age_seconds: float | None = None) -> str:
        """The value that `sign` got. Raises `SignatureExpired` if it has expired, else `BadSignature`.

        With `max_age_seconds`, one that was issued in the future, by a clock that was ahead, has expired, too.
        """
        payload, _, mac = signed.partition(".")
        digest = _decode(mac)
        if digest is None or not any(
            hmac.compare_digest(digest, _mac(secret, purpose, payload)) for secret in self._secrets
        ):
            raise BadSignature("This value was not made here for this purpose, or it was altered.")
        expires, _, value = urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode().partition(".")
        left = int(expires) - clock.now().timestamp()
        if left <= 0 or (max_age_seconds is not None and left > max_age_seconds + SKEW):
            raise SignatureExpired("This value is no longer valid: too much time has gone by.")
        return value


def _mac(secret: bytes, purpose: str, payload: str) -> bytes:
    return hmac.digest(_derive(secret, f"sign {purpose}"), payload.encode("utf-8", "surrogatepass"), "sha256")


def _derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=f"area {_VERSION} {purpose}".encode()).derive(secret)


def derive_code(secret: str, purpose: str) -> str:
    """Sixteen letters and digits (80 bits, RFC 4648 base32) that only the holder of the secret can compute."""
    return b32encode(_derive(secret.encode(), purpose, 10)).decode()


def _key_id(secret: bytes) -> str:
    """Eight hexadecimal digits that identify a secret and reveal nothing about the keys derived from it."""
    return _derive(secret, "key id", 4).hex()


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    """The bytes; None unless `text` is exactly what `_encode` writes."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):  # not ASCII, or an impossible length
        return None
    return data if _encode(data) == text else None


def hash_token(token: str) -> str:
    """SHA-256 in hexadecimal, to store instead of a token. Only for random tokens; passwords need `hash_password`."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_token(prefix: str = "") -> str:
    """A secret of 256 random bits as 43 URL-safe characters, after `prefix`."""
    return prefix + secrets.token_urlsafe(32)


def hash_password(password: str) -> str:
    """The bcrypt hash of a password. Takes a quarter of a second: call it through `hashing.run`.

    Raises `PasswordTooLong` over 72 bytes in UTF-8, `UnusablePassword` if it is empty or can't be encoded; both are
    `ValueError`s.
    """
    return bcrypt.hashpw(_password_bytes(password), bcrypt.gensalt(BCRYPT_COST)).decode()


def check_password(password: str, stored: str | None) -> bool:
    """Whether `stored` is the hash of `password`. Takes a quarter of a second: call it through `hashing.run`.

    Takes as long without a hash (None) or with an impossible password, so that timing doesn't reveal which accounts
    exist. Raises `ValueError` if `stored` is no bcrypt hash.
    """
    try:
        raw = _password_bytes(password)
    except UnusablePassword:
        raw, stored = b"-", None
    matches = bcrypt.checkpw(raw, _NOBODY if stored is None else stored.encode())
    return matches and stored is not None


def _password_bytes(password: str) -> bytes:
    if not password:
        _refuse("The password is empty.")
    if "\0" in password:
        _refuse("The password has a NUL character in it; leave it out.")
    try:
        data = password.encode()
    except UnicodeEncodeError:
        _refuse("The password has half a character (a lone surrogate) in it; leave it out.")
    if len(data) > MAX_PASSWORD:
        raise PasswordTooLong(
            Sentence(
                "The password has %(size)s bytes in UTF-8; the limit is %(most)s. Choose a shorter one.",
                size=len(data),
                most=MAX_PASSWORD,
            )
        )
    return data


def _refuse(message: str) -> NoReturn:
    raise UnusablePassword(message) from None
