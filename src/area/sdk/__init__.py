"""All that a connector may import."""

from area.sdk.answers import Row, found
from area.sdk.context import Context, Failure, Platform
from area.sdk.errors import AuthExpired, ConnectorError, Permanent, Retry
from area.sdk.events import Event, Headers, Hook, Reply, Request, Subscription
from area.sdk.fields import Option, Pick
from area.sdk.http import Access, Http, Response, parse
from area.sdk.oauth2 import Account, OAuth2, Quirks
from area.sdk.polls import daily, entered
from area.sdk.service import Action, Credentials, Firing, Inbound, Nothing, Reaction, Service
from area.sdk.sockets import explain, tls_context
from area.sdk.timers import Timer, ZoneName
from area.sdk.verify import (
    Refused,
    Verify,
    hmac_sha1,
    hmac_sha256,
    hmac_timestamped,
    hmac_versioned,
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
    "Failure",
    "Firing",
    "Headers",
    "Hook",
    "Http",
    "Inbound",
    "Nothing",
    "OAuth2",
    "Option",
    "Permanent",
    "Pick",
    "Platform",
    "Quirks",
    "Reaction",
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
    "ZoneName",
    "daily",
    "entered",
    "explain",
    "found",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_timestamped",
    "hmac_versioned",
    "parse",
    "shared_token",
    "standard_webhooks",
    "tls_context",
    "unsigned",
]
