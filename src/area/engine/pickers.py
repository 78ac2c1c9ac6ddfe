"""What a user may choose for a parameter, read from their own account while they fill in the form."""

from collections.abc import Mapping

from area.connections import vault
from area.connections.vault import Ref
from area.engine import access, proof
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
    """The options of one parameter. `form` holds the current values of the other fields as text; `connection` is a
    name.

    Raises `NotFound` if the parameter has no picker or there is no such connection, and `Conflict` if the service is
    not connected, refuses or does not answer.
    """
    service = component.service
    declared = next((field for field in fields(component.params) if field.name == parameter), None)
    if declared is None or declared.picker is None:
        raise NotFound("%(key)s has no list of options for '%(parameter)s'.", key=component.key, parameter=parameter)
    credential, ref = None, Ref(user_id, service.slug)
    if service.auth is not None:
        if connection:
            async with state.database.sessions() as session:
                ref = ref._replace(number=await vault.number(session, service, user_id, connection))
        connected = await cache.connection(*ref)
        credential = connected.credential
        if connected.status in ("missing", "gone"):
            raise Conflict("Connect %(name)s first to choose from a list.", name=service.name)
    context = access.context(state, cache.tokens, service, ref, credential)
    try:
        choices = await service.pickers[declared.picker](context, form)
    except AuthExpired as error:
        meant = await proof.meaning(state, cache.tokens, service, ref, credential, error)
        if not isinstance(meant, AuthExpired):
            raise Conflict(str(meant)) from error
        raise Conflict("%(error)s Reconnect %(name)s to choose from a list.", error=error, name=service.name) from error
    except ConnectorError as error:
        raise Conflict(str(error)) from error
    return choices[:MOST]
