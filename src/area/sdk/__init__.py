"""All that a connector may import."""

from area.sdk.answers import Made, Row, fill, filled, found, look
from area.sdk.context import Context, Failure, Platform
from area.sdk.credentials import Credentials
from area.sdk.decoding import Reader
from area.sdk.errors import AuthExpired, ConnectorError, Gone, Permanent, Retry
from area.sdk.events import Event, Events, Headers, Hook, Reply, Request, Subscription, news, whose
from area.sdk.fields import Option, Pick, asked
from area.sdk.hints import Hint
from area.sdk.http import Access, Http, Pages, Response, given, parse, quoted
from area.sdk.oauth2 import Account, OAuth2, Quirks, profile
from area.sdk.polls import daily, entered, stamp
from area.sdk.service import Action, Firing, Inbound, Nothing, Reaction, Service, Webhooks
from area.sdk.sockets import explain, tls_context
from area.sdk.timers import Timer, ZoneName
from area.sdk.verify import (
    Refused,
    Verify,
    address_token,
    bearer_jwt,
    hmac_sha1,
    hmac_sha256,
    hmac_timestamped,
    hmac_versioned,
    secret_in_query,
    shared_token,
    standard_webhooks,
    unsigned,
)

__all__ = [
    "Access",
    "Account",
    "Action",
    "AuthExpired",
    "ConnectorError",
    "Context",
    "Credentials",
    "Event",
    "Events",
    "Failure",
    "Firing",
    "Gone",
    "Headers",
    "Hint",
    "Hook",
    "Http",
    "Inbound",
    "Made",
    "Nothing",
    "OAuth2",
    "Option",
    "Pages",
    "Permanent",
    "Pick",
    "Platform",
    "Quirks",
    "Reaction",
    "Reader",
    "Refused",
    "Reply",
    "Request",
    "Response",
    "Retry",
    "Row",
    "Service",
    "Subscription",
    "Timer",
    "Verify",
    "Webhooks",
    "ZoneName",
    "address_token",
    "asked",
    "bearer_jwt",
    "daily",
    "entered",
    "explain",
    "fill",
    "filled",
    "found",
    "given",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_timestamped",
    "hmac_versioned",
    "look",
    "news",
    "parse",
    "profile",
    "quoted",
    "secret_in_query",
    "shared_token",
    "stamp",
    "standard_webhooks",
    "tls_context",
    "unsigned",
    "whose",
]
