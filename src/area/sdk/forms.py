"""Connections made with a form: how they authorize requests, the URL of the user's own server, and how to test them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, SecretStr, create_model

from area.kit.sentences import Sentence
from area.sdk.answers import fill_template, lookup
from area.sdk.context import Context
from area.sdk.credentials import Credentials
from area.sdk.errors import AuthExpired, Permanent
from area.sdk.fields import param
from area.sdk.http import Access
from area.sdk.oauth2 import Account

Trial = Callable[[Context, Any], Awaitable[Account | str | None]]


def form(
    trial: Trial,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    base_url: str = "",
    **asks: Any,
) -> Credentials[Any]:
    """Declare a connection made with a form. `asks` are its fields by name: `secret(…)`, `server(…)`, or a type as for
    parameters.

    `headers`, `params` and `base_url` are what `ctx.http` sends, and the user's own server, with field names in braces:
    `headers={"Authorization": "Bearer {token}"}`. Spaces around a secret are not sent.
    """
    model: type[BaseModel] = create_model("Form", **asks)

    def access(credential: BaseModel) -> Access:
        plain = {name: _plain(value) for name, value in credential}
        sent, query = (
            {name: text.format_map(plain) for name, text in (each or {}).items()} for each in (headers, params)
        )
        secrets = tuple(plain[name] for name, value in credential if isinstance(value, SecretStr))
        return Access(sent, query, base_url.format_map(plain), secrets)

    return Credentials(model, trial, access)


def secret(description: str, example: str | None = None, **constraints: Any) -> Any:
    """A field that is stored encrypted and shown as dots. Takes the arguments of `param`."""
    return Annotated[SecretStr, param(description, example, **constraints)]


def server(example: str, description: str = "URL of your server", *, scheme: str = "https") -> Any:
    """A field for the URL of a server. Only its origin is stored, with `scheme` if the user entered none.

    With an empty `scheme` the user has to enter it.
    """

    def origin(text: str) -> str:
        text = text.strip()
        parts = urlsplit(text if "://" in text or not scheme else f"{scheme}://{text}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(Sentence("Enter the address of a server, such as %(example)s.", example=example))
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    return Annotated[str, AfterValidator(origin), param(description, example)]


def tried(path: str, refused: str = "", *, at: str = "", other: str = "", account: str = "") -> Trial:
    """Test a form with a GET of `path`. `refused` is the error if it isn't authorized, with the form's fields in
    braces.

    If a response has nothing at the path `at` (as for `output`), it is from another service, and `other` is the error.
    `account` is where the response identifies the account: a path, or a template as for `composed`.
    """

    async def test(ctx: Context, credential: BaseModel) -> Account | None:
        try:
            answer = await ctx.http.get(path)
        except AuthExpired as error:
            if not refused:
                raise
            message = refused.format(**dict(credential))
            raise Permanent(Sentence("%(said)s %(error)s", said=message, error=error)) from error
        if at and lookup(at, answer) is None:
            message = other.format(**dict(credential))
            raise Permanent(message)
        name = fill_template(account, answer) if "{" in account else account and lookup(account, answer)
        return Account(str(name), str(name)) if name else None

    return test


def _plain(value: Any) -> Any:
    return value.get_secret_value().strip() if isinstance(value, SecretStr) else value
