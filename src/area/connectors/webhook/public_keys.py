"""Signatures by public keys: the sender keeps the private key, and `secret` is the public one."""

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from area.sdk import Refused
from area.sdk.verify import MISMATCH

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
KINDS = "an Ed25519, ECDSA or RSA key"
ED25519_SIZE = 32  # bytes of a key (https://www.rfc-editor.org/rfc/rfc8032#section-5.1.5)


@lru_cache(maxsize=100)
def public_key(text: str) -> PublicKey:
    """Read a public key in PEM, in base64 of its DER, or, of Ed25519, in hexadecimal or base64 of its 32 bytes.

    Raises `ValueError` if it is none.
    """
    text = text.strip()
    try:
        if text.startswith("-----"):
            key = load_pem_public_key(text.replace("\\n", "\n").encode())
        else:
            raw = _bytes(text.removeprefix("whpk_"))
            key = Ed25519PublicKey.from_public_bytes(raw) if len(raw) == ED25519_SIZE else load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"This isn't the public key of a sender: {KINDS} in PEM, base64 or hexadecimal.") from error
    if not isinstance(key, PublicKey):
        raise ValueError(f"This isn't {KINDS}.")  # noqa: TRY004 - it is a value that a user entered
    return key


def verify(secret: str, signatures: list[bytes], signed: bytes) -> None:
    """Raises `Refused` unless one of the signatures is of `signed`, by the private key that belongs to `secret`."""
    try:
        key = public_key(secret)
    except ValueError as error:
        raise Refused("This webhook's public key can't be read, so nothing can be accepted.") from error
    if not any(is_signed(key, signature, signed, SHA256()) for signature in signatures):
        raise Refused(MISMATCH)


def is_signed(key: PublicKey, signature: bytes, signed: bytes, hash_: HashAlgorithm) -> bool:
    """Whether the signature is of `signed`. That of ECDSA is in DER, or two numbers of one size (RFC 7515 A.3)."""
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, RSAPublicKey):
            key.verify(signature, signed, PKCS1v15(), hash_)
        else:
            size = (key.key_size + 7) // 8
            if len(signature) == 2 * size:
                pair = (int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
                signature = encode_dss_signature(*pair)
            key.verify(signature, signed, ECDSA(hash_))
    except (InvalidSignature, ValueError):
        return False
    return True


def signatures_in(header: str) -> list[bytes]:
    """The signatures of a header, one or several, in hexadecimal, base64 or base64url, after a prefix or without."""
    found = []
    for part in header.replace(",", " ").replace(";", " ").split()[:50]:
        name, equals, rest = part.partition("=")
        for text in (part, rest) if equals and name.isalnum() and rest.strip("=") else (part,):
            try:
                found.append(_bytes(text))
            except ValueError:
                continue
    return found


def _bytes(text: str) -> bytes:
    """Bytes in hexadecimal, base64 or base64url. Raises `ValueError`."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error
