"""Credentials for a URL that the user chooses: bound to its scheme, host and port, and sent nowhere else.

For services that also work without one. Over http, which anyone on the network path can read, they are sent only to
private addresses.
"""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, unquote_plus, urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationInfo, field_validator

from area.kit.http import RequestFailed, origin
from area.kit.keys import Keys
from area.kit.net import Guard, is_public
from area.kit.oauth2 import Quirks, Server
from area.kit.sentences import Sentence
from area.sdk.context import Context
from area.sdk.credentials import ClientGrant, Credentials
from area.sdk.errors import Permanent
from area.sdk.fields import When, param
from area.sdk.http import Access
from area.sdk.sensitive import secrets

TOKEN = re.compile(r"[!#$%&'*+.^`|~\w-]+", re.ASCII)  # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
# of a message's framing, and what AREA sends by itself
NOT_A_KEY = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "idempotency-key"})
NEEDED = {
    "bearer": ("token",),
    "basic": ("user", "password"),
    "header": ("name", "value"),
    "query": ("name", "value"),
    "oauth2": ("token_url", "client_id", "client_secret"),
}
SAID = {
    "token": "Enter the token.",
    "user": "Enter the user name.",
    "password": "Enter the password.",
    "name": "Enter the name of the header or parameter.",
    "value": "Enter the key.",
    "token_url": "Enter the address of the token endpoint.",
    "client_id": "Enter the client ID.",
    "client_secret": "Enter the client secret.",
}
Kind = Literal["bearer", "basic", "header", "query", "oauth2"]


def _address(text: str) -> str:
    """A full URL without a login in it."""
    text = text.strip()
    try:
        origin(text)
    except RequestFailed as error:
        raise ValueError(Sentence("Enter a full URL, starting with https:// or http://.")) from error
    if "@" in urlsplit(text).netloc:
        raise ValueError(Sentence("Remove the username and password from the URL."))
    return text


Address = Annotated[str, AfterValidator(_address)]


class Key(BaseModel):
    """A credential and the URL it is for."""

    model_config = ConfigDict(validate_default=True)

    url: Address

    @field_validator(*SAID, check_fields=False)
    @classmethod
    def _needed(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("kind")
        if info.field_name and kind and info.field_name in NEEDED[kind]:
            text = value.get_secret_value() if isinstance(value, SecretStr) else value
            if not text:
                raise ValueError(SAID[info.field_name])
        return value

    @field_validator("user", check_fields=False)
    @classmethod
    def _no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError(
                Sentence("A username can't contain a colon.")
            )  # https://www.rfc-editor.org/rfc/rfc7617#section-2
        return value

    @field_validator("name", check_fields=False)
    @classmethod
    def _header_name(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("kind") == "header" and value and not TOKEN.fullmatch(value):
            raise ValueError(Sentence("Enter a header name, such as X-Api-Key."))
        if info.data.get("kind") == "header" and value.lower() in NOT_A_KEY:
            raise ValueError(Sentence("AREA sets this header itself. Enter another one."))
        return value


KINDS = {
    "bearer": "Bearer token",
    "basic": "Username and password",
    "header": "Key in a header",
    "query": "Key in the address",
    "oauth2": "OAuth 2.0 client credentials",
}
URL = param("URL of the server; the credential is sent to this host only", "https://api.example.com/v1/me")
BASIC, BEARER, OAUTH2 = When("kind", ("basic",)), When("kind", ("bearer",)), When("kind", ("oauth2",))
NAMED = When("kind", ("header", "query"))
USER = param("User name", "ann", default="", when=BASIC)
PASSWORD = param("Password", default=None, when=BASIC)
TOKEN_FIELD = param("Token", default=None, when=BEARER)
NAME = param("Name of the header or parameter", "X-Api-Key", default="", when=NAMED)
VALUE = param("Key", default=None, when=NAMED)


def _kind(*kinds: str) -> Any:
    return param("Authentication method", default=kinds[0], labels={kind: KINDS[kind] for kind in kinds})


class Login(Key):
    """A username and password (RFC 7617)."""

    url: Address = URL
    user: str = param("User name", "ann", min_length=1)
    password: SecretStr = param("Password", min_length=1)


class FeedKey(Key):
    """A credential for reading a feed."""

    kind: Literal["basic", "bearer", "query"] = _kind("basic", "bearer", "query")
    url: Address = URL
    user: str = USER
    password: SecretStr | None = PASSWORD
    token: SecretStr | None = TOKEN_FIELD
    name: str = NAME
    value: SecretStr | None = VALUE


class ApiKey(Key):
    """A credential for calling an API."""

    kind: Kind = _kind(*KINDS)
    url: Address = URL
    token: SecretStr | None = TOKEN_FIELD
    user: str = USER
    password: SecretStr | None = PASSWORD
    name: str = NAME
    value: SecretStr | None = VALUE
    token_url: str = param(
        "URL of the token endpoint", "https://login.example.com/oauth2/token", default="", when=OAUTH2
    )
    client_id: str = param("Client ID", "area", default="", when=OAUTH2)
    client_secret: SecretStr | None = param("Client secret", default=None, when=OAUTH2)
    scope: str = param("Scopes, separated by spaces, if the server needs any", "orders.read", default="", when=OAUTH2)

    @field_validator("token_url")
    @classmethod
    def _token_url(cls, value: str) -> str:
        return _address(value) if value else value


def credentials(model: type[Key]) -> Credentials[Any]:
    """The connection of a service that also works without one, and whose users may have several."""
    return Credentials(model, tried, access, label=label, optional=True, grant=grant)


def label(key: Key) -> str:
    """The default name of a connection: the host it is for."""
    return urlsplit(origin(key.url)).netloc


def access(key: Key) -> Access:
    """What the key adds to a request."""
    values = {name: _plain(value) for name, value in key}
    kind = values.get("kind", "basic")
    bound: dict[str, Any] = {"base_url": origin(key.url), "bound": True}
    if kind == "query":
        return Access(params={values["name"]: values["value"]}, **bound)
    if kind == "basic":
        pair = base64.b64encode(f"{values['user']}:{values['password']}".encode()).decode()
        return Access(headers={"Authorization": f"Basic {pair}"}, secrets=(values["password"],), **bound)
    if kind == "header":
        return Access(headers={values["name"]: values["value"]}, **bound)
    return Access(headers={"Authorization": f"Bearer {values.get('token', '')}"}, **bound)


def grant(key: Key) -> ClientGrant | None:
    """Where to get the key's token, if it needs one."""
    if not isinstance(key, ApiKey) or key.kind != "oauth2" or key.client_secret is None:
        return None
    return ClientGrant(
        server=Server("", key.token_url, quirks=Quirks(client_auth="post")),
        keys=Keys(key.client_id, key.client_secret),
        scope=" ".join(key.scope.split()),
        base_url=origin(key.url),
    )


async def tried(ctx: Context, key: Key) -> str | None:
    """Request the URL with the key and without it. Returns a sentence if the key couldn't be verified.

    Raises `Permanent` if the key is rejected, or would be sent over http to a public address.
    """
    await check_no_secret_is_plain(ctx.guard, key.url)
    response = await ctx.http.request("GET", key.url, headers={"Accept": "*/*"}, max_bytes=10_000_000)
    if response.status == 401:
        raise Permanent(Sentence("%(host)s rejected this credential (401).", host=response.host))
    without = await ctx.http.anonymous.request("GET", key.url, headers={"Accept": "*/*"}, max_bytes=10_000_000)
    if without.status == 401 or (without.status == 403 and response.status < 400):
        return None
    return Sentence(
        "Saved, but not verified: %(host)s responds the same without it (%(status)s with it, %(without)s without)."
        " To verify it, enter a URL that requires the credential.",
        host=response.host,
        status=response.status,
        without=without.status,
    )


async def check_no_secret_is_plain(guard: Guard, address: str) -> None:
    """Raises `Permanent` if a secret would be sent over http to a public address."""
    parts = urlsplit(origin(address))
    if parts.scheme == "http":
        addresses = await guard.resolve(parts.hostname or "", parts.port or 80)
        if any(is_public(address) for address in addresses):
            raise Permanent(
                Sentence(
                    "Use https for %(host)s: over http, anyone on the network path can read the credential.",
                    host=parts.hostname,
                )
            )


def split(address: str) -> tuple[str, Mapping[str, Any]] | None:
    """A URL without its login, and the login as a `Key`; None if there is none that can be stored like this.

    Text with placeholders stays unchanged, and so does an http URL outside the user's own network.
    """
    scheme, separator, rest = address.partition("://")
    authority = re.match(r"[^/?#]*", rest)
    login, at, host = authority[0].rpartition("@") if authority else ("", "", "")
    user, colon, password = login.partition(":")
    if not (separator and at and colon and password) or "{{" in login + host:
        return None
    clean = f"{scheme}://{host}{rest[len(authority[0]) :]}" if authority else address
    try:
        place = urlsplit(origin(f"{'https' if scheme.lower().startswith('webcal') else scheme}://{host}/"))
    except RequestFailed:
        return None
    if place.scheme == "http" and not _surely_private(place.hostname or ""):
        return None
    parameters = {
        "kind": "basic",
        "url": f"{place.scheme}://{place.netloc}/",
        "user": unquote(user),
        "password": unquote(password),
    }
    return clean, parameters


def lift(holds: str, text: str, address: str) -> tuple[str, Mapping[str, Any]] | None:
    """A text without the first of its secrets that a credential can hold, and that secret as a `Key` for the host of
    `address`.

    None if there is none, or if the host isn't known yet.
    """
    begin = address.partition("?")[0]
    try:
        place = urlsplit(origin(begin))
    except RequestFailed:
        return None
    if "{{" in begin.split("/", 3)[2] or (place.scheme == "http" and not _surely_private(place.hostname or "")):
        return None
    url = {"url": f"{place.scheme}://{place.netloc}/"}
    for name, start, end in secrets("address" if holds == "address" else "headers", text):
        value = text[start:end]
        if "{{" in value:
            continue
        if holds == "address" and name.startswith("query:"):
            parameter = name.split(":")[1]
            before, after = text[: start - len(parameter) - 1], text[end:]
            rest = before + after[1:] if after.startswith("&") else before[:-1] + after
            return rest, url | {"kind": "query", "name": unquote_plus(parameter), "value": unquote_plus(value)}
        if holds == "headers":
            return _without_header(text, name.rpartition(":")[0], start, end), url | _header(name, value)
    return None


def fits(auth: Any, given: Mapping[str, Any]) -> bool:
    """Whether a service accepts a credential of this kind."""
    kind = auth.model.model_fields.get("kind") if isinstance(auth, Credentials) else None
    return kind is not None and given["kind"] in get_args(kind.annotation)


def _without_header(text: str, name: str, start: int, end: int) -> str:
    if text.lstrip().startswith("{"):
        try:
            table = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
        left = {key: value for key, value in table.items() if key.lower() != name}
        return orjson.dumps(left).decode() if left else ""
    first, last = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    return (text[:first] + ("" if last < 0 else text[last + 1 :])).rstrip("\n")


def _header(name: str, value: str) -> dict[str, Any]:
    scheme, _, rest = value.partition(" ")
    if name.startswith("authorization:") and scheme.lower() == "bearer":
        return {"kind": "bearer", "token": rest.strip()}
    if name.startswith("authorization:") and scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if colon:
            return {"kind": "basic", "user": user, "password": password}
    return {"kind": "header", "name": name.rpartition(":")[0], "value": value}


def _surely_private(host: str) -> bool:
    names = (".local", ".lan", ".home.arpa", ".internal", ".localhost")
    if host == "localhost" or host.endswith(names) or ("." not in host and ":" not in host):
        return True
    return bool(re.fullmatch(r"[0-9.]+|.*:.*", host)) and not is_public(host)


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
