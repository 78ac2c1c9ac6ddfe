"""Tests a stored connection: on request, and before a 401 costs a user all AREAs that need it."""

import asyncio
from typing import Any

from area import connections
from area.connections import Tested
from area.connections.vault import Ref
from area.engine import access
from area.engine.access import Tokens
from area.engine.state import State
from area.kit.sentences import Sentence
from area.sdk import AuthExpired, ConnectorError, Credentials, OAuth2, Permanent, Retry
from area.sdk import Service as Connector
from area.sdk.errors import Unauthorized


async def try_tokens(state: State, tokens: Tokens, connector: Connector, auth: OAuth2, ref: Ref) -> Tested:
    """Test a connection made with OAuth2, with refreshed tokens if needed: the vendor must say whose it is."""
    try:
        async with asyncio.timeout(connections.TEST_TIMEOUT):
            account = await auth.account(access.context(state, tokens, connector, ref, None))
    except AuthExpired as error:
        return Tested(works=False, expired=True, message=str(error))
    except (Permanent, Retry) as error:
        return Tested(works=False, message=str(error))
    except TimeoutError:
        message = Sentence(
            "%(name)s did not respond within %(number)s seconds.",
            name=connector.name,
            number=connections.TEST_TIMEOUT,
        )
        return Tested(works=False, message=message)
    return Tested(works=True, account=account.label)


async def meaning(
    state: State, tokens: Tokens, connector: Connector, ref: Ref, credential: Any, error: AuthExpired
) -> ConnectorError:
    """What an error means for the connection: `AuthExpired` when it has expired.

    Some vendors also answer 401, rather than 403, when an account may not do just this (Trello, Jira, YouTube, Home
    Assistant). So a connection that got one is tested: if it works, that is `Permanent`; if the vendor can't be
    reached, `Retry`.
    """
    if not isinstance(error, Unauthorized):
        return error
    if isinstance(connector.auth, OAuth2):
        tested = await try_tokens(state, tokens, connector, connector.auth, ref)
    elif isinstance(connector.auth, Credentials) and credential is not None:
        tested = await connections.try_out(state.client, state.guard, connector, credential)
    else:
        return error
    if tested.works and (tested.account or not tested.message):
        return Permanent(
            Sentence(
                "%(error)s The connection to %(name)s works, but its account or token isn't allowed to do this.",
                error=error.said,
                name=connector.name,
            )
        )
    if not tested.works and not tested.expired:
        return Retry(error.said)
    return error
