"""OAuth2 connections: where users give permission, where tokens come from, and who gave it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from area.kit.http import RequestFailed, Response
from area.kit.oauth2 import Quirks, Server
from area.kit.sentences import Sentence
from area.sdk.answers import fill_template, lookup
from area.sdk.errors import Permanent
from area.sdk.http import Access

if TYPE_CHECKING:
    from area.sdk.context import Context

__all__ = ["Account", "OAuth2", "Quirks", "profile"]


@dataclass(frozen=True, slots=True)
class Account:
    """The user as the vendor identifies them. `id` never changes and is never reused; names and addresses may be.

    `note` says what a form's credential can't do, for the user who has just entered it.
    """

    id: str
    name: str
    email: str | None = None
    email_verified: bool = False
    note: str = ""

    @property
    def label(self) -> str:
        """The name shown to users, shortened to fit."""
        return (self.name or self.id)[:255]


def profile(
    path: str,
    *,
    id: str,  # noqa: A002 - as Account's
    name: str,
    email: str = "",
    verified: str | bool = False,
    method: str = "GET",
    **options: Any,
) -> Callable[["Context"], Awaitable[Account]]:
    """Build OAuth2's `account`: GET `path`, and find the user in the response at paths as for `output`.

    `id` and `name` may be templates as for `composed`. `verified` is the path to whether the vendor has verified the
    e-mail address, or the value for all accounts. Pass `method` and `options` (`json`, `params`, as for `ctx.http.ask`)
    for a vendor that needs another request.
    """

    async def account(ctx: "Context") -> Account:
        me = await ctx.http.ask(method, path, dict[str, Any], **options)
        known, called = (fill_template(place, me) if "{" in place else lookup(place, me) for place in (id, name))
        address = lookup(email, me) if email else None
        if known is None:
            raise Permanent(Sentence("The vendor didn't identify your account."))
        confirmed = lookup(verified, me) is True if isinstance(verified, str) else verified
        return Account(
            str(known),
            str(known if called is None else called),
            address,
            email_verified=confirmed and address is not None,
        )

    return account


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Declare where the vendor's users give permission and where tokens come from; AREA does the rest (RFC 6749 with
    PKCE).

    `scopes` are requested for every connection; components add theirs. `account` identifies the user, with a `ctx.http`
    that already sends the token. With `login_scopes` people can log in to AREA with the vendor; these scopes must
    suffice for `account`, which should then return the e-mail address and whether the vendor has verified it. Services
    of one vendor share a `client`, so that AREA is registered there once (`AREA_<CLIENT>_CLIENT_ID`); by default it is
    the service's own. At most one of them has `login_scopes`. `vendor` is the name of the vendor that people log in
    with, if it differs from the service's name.
    """

    authorize_url: str
    token_url: str
    account: Callable[["Context"], Awaitable[Account]]
    scopes: tuple[str, ...] = ()
    login_scopes: tuple[str, ...] | None = None
    revoke_url: str | None = None
    client: str = ""
    vendor: str = ""
    quirks: Quirks = field(default_factory=Quirks)

    @property
    def server(self) -> Server:
        """The vendor's authorization server."""
        return Server(self.authorize_url, self.token_url, self.revoke_url, self.quirks)

    def access(self, client_id: str, token: SecretStr) -> Access:
        """The access for a request with this token."""
        value = token.get_secret_value()
        headers = {"Authorization": f"{self.quirks.token_type} {value}"}
        if self.quirks.client_id_header:
            headers[self.quirks.client_id_header] = client_id
        return Access(headers=headers, secrets=(value,))

    def refuses(self, response: Response) -> bool:
        """Whether a response means that the token has expired: by its status, or by an error in a 200."""
        if response.status in self.quirks.expired_statuses:
            return True
        if response.status != 200 or not self.quirks.expired_field or len(response.body) > 10_000:
            return False
        try:
            body = response.json()
        except RequestFailed:  # no JSON, no refusal
            return False
        return isinstance(body, dict) and str(body.get(self.quirks.expired_field)) in self.quirks.expired_codes

    @property
    def login_server(self) -> Server:
        """The same for logging in, which needs neither long-lived tokens nor earlier consent."""
        return replace(self.server, quirks=replace(self.quirks, authorize_params={}))
