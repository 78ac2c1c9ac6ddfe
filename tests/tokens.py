"""Signed tokens, as vendors send them."""

import base64
import hmac

JWT_SECRET = "a secret of 32 bytes or more, as RFC 7518 asks"


def token(claims: bytes, secret: str = JWT_SECRET, header: bytes = b'{"alg":"HS256"}') -> str:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signed, "sha256")).rstrip(b"=")
    return f"{signed.decode()}.{signature.decode()}"
