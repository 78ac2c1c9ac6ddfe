"""What a user may choose from for a parameter, asked of their own account while they fill the form."""

from collections.abc import Mapping

from area.connections import vault
from area.connections.vault import Ref
from area.engine import access
from area.engine.cache import Cache
from area.engine.state import State
from area.kit.problems import Conflict, NotFound
from area.sdk import Action, AuthExpired, ConnectorError, Option, Reaction
from area.sdk.fields import fields

MOST = 1000  # options that a form shows


async def options(
    state: State,
    cache: Cache,
    user_id: int,
    component: Action | Reaction,
    parameter: str,
    form: Mapping[str, str],
    connection: str = "",
) -> list[Option]:
    """The options for one parameter. `form` holds what the other fields hold so far, as text; `connection` is a name.

    Raises `NotFound` when nothing can be listed for it, or there is no such connection, `Conflict` when the service is not connected, refuses or does not answer.
    """
    service = component.service
    declared = next((one for one in fields(component.params) if one.name == parameter), None)
    if declared is None or declared.picker is None:
        raise NotFound("%(key)s has no list to choose '%(parameter)s' from.", key=component.key, parameter=parameter)
    credential, ref = None, Ref(user_id, service.slug)
    if service.auth is not None:
        if connection:
            async with state.database.sessions() as session:
                ref = ref._replace(number=await vault.number(session, service, user_id, connection))
        kept = await cache.connection(*ref)
        credential = kept.credential
        if kept.status in ("missing", "gone"):
            raise Conflict("Connect %(name)s first; then you can choose from what is there.", name=service.name)
    context = access.context(state, cache.tokens, service, ref, credential)
    try:
        found = await service.pickers[declared.picker](context, form)
    except AuthExpired as error:
        raise Conflict(
            "%(error)s Reconnect %(name)s; then you can choose from what is there.", error=error, name=service.name
        ) from error
    except ConnectorError as error:
        raise Conflict(str(error)) from error
    return found[:MOST]
