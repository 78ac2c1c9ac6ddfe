"""The connector API. Most connectors need only these names; the modules `forms`, `keys`, `mail`, `shapes`, `selection`,
`decoding`, `sockets` and `dedupe` have what some need, and `testing` what their tests need. The linter enforces
this.
"""

from area.kit.clock import now
from area.kit.net import Blocked, Guard
from area.kit.sentences import Number, Sentence, counted
from area.sdk.answers import Made, Output, composed, fill_template, lookup, output
from area.sdk.context import Context, Failure, Platform
from area.sdk.credentials import Credentials
from area.sdk.decoding import Reader
from area.sdk.errors import AuthExpired, ConnectorError, Gone, NothingFound, Partial, Permanent, Retry
from area.sdk.events import Event, Events, Headers, Hook, Reply, Request, Subscription, account_ids, new_events
from area.sdk.fields import Option, Pick, param
from area.sdk.hints import Hint
from area.sdk.http import Access, Http, Pages, Response, parse, quoted, without_blanks
from area.sdk.lookups import LookupParams
from area.sdk.oauth2 import Account, OAuth2, Quirks, profile
from area.sdk.polls import daily, entered, timestamp
from area.sdk.renamed import renamed
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
    "Blocked",
    "ConnectorError",
    "Context",
    "Credentials",
    "Event",
    "Events",
    "Failure",
    "Firing",
    "Gone",
    "Guard",
    "Headers",
    "Hint",
    "Hook",
    "Http",
    "Inbound",
    "LookupParams",
    "Made",
    "Nothing",
    "NothingFound",
    "Number",
    "OAuth2",
    "Option",
    "Output",
    "Pages",
    "Partial",
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
    "Sentence",
    "Service",
    "Subscription",
    "Timer",
    "Verify",
    "Webhooks",
    "ZoneName",
    "account_ids",
    "address_token",
    "bearer_jwt",
    "composed",
    "counted",
    "daily",
    "entered",
    "explain",
    "fill_template",
    "hmac_sha1",
    "hmac_sha256",
    "hmac_timestamped",
    "hmac_versioned",
    "lookup",
    "new_events",
    "now",
    "output",
    "param",
    "parse",
    "profile",
    "quoted",
    "secret_in_query",
    "shared_token",
    "standard_webhooks",
    "timestamp",
    "tls_context",
    "unsigned",
    "without_blanks",
]

__getattr__ = renamed(
    __name__,
    {
        "asked": "param",
        "found": "output",
        "filled": "composed",
        "Row": "Output",
        "look": "lookup",
        "given": "without_blanks",
        "whose": "account_ids",
        "news": "new_events",
        "stamp": "timestamp",
        "fill": "fill_template",
    },
)
