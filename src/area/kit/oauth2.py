"""An OAuth 2 client: the user's authorization address, tokens for a code, a refresh token or the client itself,
revocation.

RFC 6749 with PKCE (RFC 7636) and revocation (RFC 7009). `Quirks` lists how vendors differ. Error messages contain
nothing of a response but its error code, since descriptions may repeat the code, the token or the secret.
"""

import hashlib
import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import jwt
import orjson
from pydantic import SecretStr

from area.kit.http import Client, RequestFailed, Response
from area.kit.keys import Keys
from area.kit.net import Blocked
from area.kit.sentences import Sentence

TIMEOUT = 20  # seconds
MAX_ANSWER = 1_000_000  # bytes
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Quirks:
    """How a vendor differs from the protocol.

    A refresh that returns a new refresh token replaces the old one, so rotation needs no entry.
    """

    client_auth: Literal["basic", "post"] = "basic"  # how the client authenticates at the token endpoint
    scope_separator: str = " "
    implied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # scopes included in a granted one
    pkce: bool = True  # False for a server that refuses unknown parameters
    authorize_params: Mapping[str, str] = field(default_factory=dict)  # such as access_type=offline
    token_params: Mapping[str, str] = field(default_factory=dict)
    token_headers: Mapping[str, str] = field(default_factory=dict)
    # how a revocation is authenticated, if not like at the token endpoint; `token`: by the access token, with body
    # `null`
    revoke_auth: Literal["basic", "post", "token"] | None = None
    revokes_all: bool = (
        False  # whether revoking a token ends everything the user granted this client, for other services too
    )
    token_json: bool = False  # whether the token and revocation endpoints take JSON instead of a form
    error_field: str = "error"  # a token response with this field is a refusal, whatever its status
    refused: frozenset[str] = frozenset({"invalid_grant"})  # codes that mean: this refresh token is permanently invalid
    lifetime: int | None = None  # seconds, if the server sends no `expires_in`; None: until refused
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    client_id_header: str = ""  # an API request header for the client id
    expired_statuses: frozenset[int] = frozenset({401})  # API statuses that may mean: the access token has expired
    expired_field: str = ""  # the field with an error code in an API response of status 200, and
    expired_codes: frozenset[str] = frozenset()  # the codes that mean the same


@dataclass(frozen=True, slots=True)
class Server:
    """An authorization server's addresses, and its quirks. A `revoke_url` with `{client_id}` uses GitHub's DELETE."""

    authorize_url: str
    token_url: str
    revoke_url: str | None = None
    quirks: Quirks = field(default_factory=Quirks)


@dataclass(frozen=True, slots=True)
class Grant:
    """A server's response. `scopes` is None if it doesn't state them: then they are those that were requested."""

    access: SecretStr
    refresh: SecretStr | None
    lifetime: float | None
    scopes: tuple[str, ...] | None
    id_token: str = field(default="", repr=False)


class GrantFailed(Exception):
    """The server issued or revoked no tokens. `refused`: it never will for this code or token; else it may later."""

    def __init__(self, message: str, *, code: str = "", refused: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.refused = refused


def verifier() -> str:
    """A new PKCE verifier."""
    return secrets.token_urlsafe(48)


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_address(
    server: Server,
    client_id: str,
    *,
    redirect_uri: str,
    state: str,
    challenge: str,
    scopes: Sequence[str],
    nonce: str = "",
) -> str:
    """The address where the user consents or declines. A `nonce` comes back in the ID token (OpenID Connect)."""
    quirks = server.quirks
    params = {"response_type": "code", "client_id": client_id, "redirect_uri": redirect_uri, "state": state}
    if scopes:
        params["scope"] = quirks.scope_separator.join(scopes)
    if nonce:
        params["nonce"] = nonce
    if quirks.pkce:
        params |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    parts = urlsplit(server.authorize_url)
    query = [*parse_qsl(parts.query), *(params | dict(quirks.authorize_params)).items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


async def exchange(
    client: Client, server: Server, keys: Keys, *, code: str, redirect_uri: str, verifier: str, nonce: str = ""
) -> Grant:
    """Tokens for a code. Raises `GrantFailed`, also when an ID token with them isn't for this `nonce`."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if server.quirks.pkce:
        form["code_verifier"] = verifier
    grant = await _grant(client, server, keys, form)
    if nonce and grant.id_token:
        _check_id_token(grant.id_token, nonce)
    return grant


def _check_id_token(token: str, nonce: str) -> None:
    """Check that an ID token answers our request. It came from the token endpoint itself, so its signature need not be
    checked (OpenID Connect Core 1.0 §3.1.3.7, 6). Whom it is for is not read either: who signs in is asked for with the
    access token, and some servers name their other clients only.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise GrantFailed("the server sent an ID token that can't be read.") from None
    if claims.get("nonce") != nonce:
        raise GrantFailed("the server sent an ID token for another request.")


async def refresh(client: Client, server: Server, keys: Keys, token: SecretStr) -> Grant:
    """New tokens for a refresh token, which may be invalid afterwards. Raises `GrantFailed`."""
    form = {"grant_type": "refresh_token", "refresh_token": token.get_secret_value()}
    return await _grant(client, server, keys, form)


async def client_credentials(client: Client, server: Server, keys: Keys, scope: str = "") -> Grant:
    """A token of the client itself, not of a user (RFC 6749 §4.4). Raises `GrantFailed`."""
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    return await _grant(client, server, keys, form)


async def revoke(client: Client, server: Server, keys: Keys, token: SecretStr, hint: str) -> None:
    """Revoke a token; `hint` is `access_token` or `refresh_token`. Raises `GrantFailed`, `refused` if it will never
    work.
    """
    if server.revoke_url and "{client_id}" in server.revoke_url:
        url = server.revoke_url.replace("{client_id}", quote_plus(keys.id))
        body = orjson.dumps({"access_token": token.get_secret_value()})
        answer = await _send(client, "DELETE", url, _basic(keys) | {"Content-Type": "application/json"}, body=body)
    elif server.revoke_url and server.quirks.revoke_auth == "token":
        proof = {"Authorization": f"{server.quirks.token_type} {token.get_secret_value()}"}
        answer = await _send(
            client, "POST", server.revoke_url, proof | {"Content-Type": "application/json"}, body=b"null"
        )
    elif server.revoke_url:
        form = {"token": token.get_secret_value(), "token_type_hint": hint}
        if server.quirks.token_json:  # not standard, and then without the optional fields
            del form["token_type_hint"]
        proven = server.quirks.revoke_auth or server.quirks.client_auth
        answer = await _post(client, server, server.revoke_url, keys, form, proven)
    else:
        return
    if answer.status >= 400:
        sentence = Sentence("%(host)s returned %(status)s to the revocation.", host=answer.host, status=answer.status)
        raise GrantFailed(sentence, refused=answer.status < 500 and answer.status not in (408, 429))


async def _grant(client: Client, server: Server, keys: Keys, form: dict[str, str]) -> Grant:
    quirks = server.quirks
    answer = await _post(client, server, server.token_url, keys, form | dict(quirks.token_params), quirks.client_auth)
    body = _body(answer)
    code = _error_code(body, quirks)
    if answer.status >= 300 or code or not isinstance(body.get("access_token"), str) or not body["access_token"]:
        raise _failure(answer, code, quirks)
    refresh = body.get("refresh_token")
    return Grant(
        access=SecretStr(body["access_token"]),
        refresh=SecretStr(refresh) if isinstance(refresh, str) and refresh else None,
        lifetime=_seconds(body.get("expires_in")) or quirks.lifetime,
        scopes=_with_implied(split_scopes(body.get("scope")), quirks.implied),
        id_token=id_token if isinstance(id_token := body.get("id_token"), str) else "",
    )


async def _post(client: Client, server: Server, url: str, keys: Keys, form: dict[str, str], proven: str) -> Response:
    """POST as our client, authenticated by `proven`: `basic` or `post`."""
    headers = dict(server.quirks.token_headers)
    if proven == "basic":
        headers |= _basic(keys)
    else:
        form = form | {"client_id": keys.id, "client_secret": keys.secret.get_secret_value()}
    if server.quirks.token_json:
        headers["Content-Type"] = "application/json"
        return await _send(client, "POST", url, headers, body=orjson.dumps(form))
    return await _send(client, "POST", url, headers, data=form)


def _basic(keys: Keys) -> dict[str, str]:
    """The client in a header, each part form-encoded first (RFC 6749 §2.3.1)."""
    pair = f"{quote_plus(keys.id)}:{quote_plus(keys.secret.get_secret_value())}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


async def _send(client: Client, method: str, url: str, headers: Mapping[str, str], **what: Any) -> Response:
    """Send a request without following redirects, which would forward the secrets. Raises `GrantFailed`."""
    headers = {"Accept": "application/json", **headers}
    try:
        return await client.request(
            method, url, headers=headers, timeout=TIMEOUT, max_bytes=MAX_ANSWER, follow=False, **what
        )
    except (RequestFailed, Blocked) as error:
        raise GrantFailed(str(error)) from error


def _failure(answer: Response, code: str, quirks: Quirks) -> GrantFailed:
    refused = code in quirks.refused
    reason = f"{answer.status} ({code})" if code else str(answer.status)
    if code in ("invalid_client", "unauthorized_client"):
        sentence = Sentence(
            "%(host)s returned %(status)s: it rejected this server's client ID and secret. Tell an administrator.",
            host=answer.host,
            status=reason,
        )
    else:
        sentence = Sentence("%(host)s returned %(status)s.", host=answer.host, status=reason)
    return GrantFailed(sentence, code=code, refused=refused)


def _body(answer: Response) -> dict[str, Any]:
    """The response's fields: JSON, or the form encoding that some servers still use."""
    try:
        value = orjson.loads(answer.body or b"null")
    except orjson.JSONDecodeError:
        return dict(parse_qsl(answer.text)) if "form-urlencoded" in answer.headers.get("content-type", "") else {}
    return value if isinstance(value, dict) else {}


def _error_code(body: Mapping[str, Any], quirks: Quirks) -> str:
    """The server's error code, if it is one word, or a known sentence."""
    value = body.get(quirks.error_field)
    if isinstance(value, str) and value:
        return value if value in quirks.refused or _CODE.fullmatch(value) else "error"
    return "error" if value else ""


def _seconds(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 10**9 else None


def _with_implied(scopes: tuple[str, ...] | None, implied: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    if scopes is None:
        return None
    return tuple(dict.fromkeys([*scopes, *(more for scope in scopes for more in implied.get(scope, ()))]))


def split_scopes(value: Any) -> tuple[str, ...] | None:
    """Scopes in any form that servers use: separated by spaces or commas, or a list."""
    if isinstance(value, str) and value.strip():
        return tuple(re.split(r"[\s,]+", value.strip()))
    if isinstance(value, list) and all(isinstance(scope, str) for scope in value):
        return tuple(value)
    return None
