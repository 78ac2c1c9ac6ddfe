"""The redirect URI for OAuth2 at services and log-in providers.

It is under /api/auth because that is how it is registered at vendors.
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from area import connections
from area.accounts import tickets
from area.api.auth import LoggedIn
from area.api.connections import PAGES, Code
from area.api.problems import answers
from area.doors import browser, consent
from area.doors.consent import NotDone, Refusal, SecondFactorNext
from area.doors.deps import TICKET, SessionDep, Slug, StateDep, VisitorDep, keep, set_cookie
from area.doors.route import Route
from area.kit.problems import Problem, Unauthenticated
from area.kit.sentences import Sentence

router = APIRouter(prefix="/auth", tags=["auth"], route_class=Route)


@router.get(
    "/{client}/callback",
    response_model=LoggedIn | connections.ConnectionView,
    responses=answers(401, 403, 404, 409, 410, 422, 429) | PAGES,
    summary="Finish OAuth2",
)
async def callback(
    client: Slug,
    request: Request,
    response: Response,
    state: StateDep,
    session: SessionDep,
    visitor: VisitorDep,
    code: Code = "",
    state_token: Annotated[str, Query(alias="state", max_length=4096)] = "",
    error: Code = "",
    error_description: Annotated[str, Query(max_length=4096)] = "",
) -> LoggedIn | connections.ConnectionView | Response:
    """The OAuth2 redirect URI of services and log-in providers; `state` distinguishes them.

    After connecting a service, the response is the connection, and waiting executions resume. After logging in, it is a
    session, with a new account if there was none. After adding a provider to an account, `token` is empty and the
    current session continues.
    """
    page, refusal = browser.wants_page(request), Refusal(error, error_description)
    identity = await consent.identity_of(request, state)
    try:
        trip = consent.read_state(state, client, state_token)
        if trip.purpose == "connect":
            if identity is None:
                raise Unauthenticated
            view, finished = await consent.finish_connecting(state, session, identity, trip, code=code, refusal=refusal)
            return browser.to(finished.next, said=Sentence("%(name)s connected.", name=view.name)) if page else view
        token, user, finished = await consent.finish_log_in(
            state, session, trip,
            code=code, refusal=refusal, secret=request.cookies.get(consent.COOKIE, ""),
            identity=identity, visitor=visitor,
        )  # fmt: skip
    except Unauthenticated:
        raise
    except SecondFactorNext as challenge:
        await session.rollback()
        if not page:
            raise challenge.problem from None
        answer = browser.to(f"/sign-in/second-factor?next={quote(challenge.next)}")
        keep(answer, request, state, TICKET, challenge.problem.ticket, int(tickets.GOOD_FOR.total_seconds()))
        answer.delete_cookie(consent.COOKIE, path="/api/auth", httponly=True, samesite="lax")
        return answer
    except (NotDone, Problem) as failure:
        problem = failure.problem if isinstance(failure, NotDone) else failure
        await session.rollback()
        if page:
            return browser.to(failure.next if isinstance(failure, NotDone) else "/", said=problem.message)
        raise problem from None
    answer = browser.to(finished.next) if page else response
    answer.delete_cookie(consent.COOKIE, path="/api/auth", httponly=True, samesite="lax")
    if token:
        set_cookie(answer, request, state, token)
    return answer if page else LoggedIn(token=token, user=user)
