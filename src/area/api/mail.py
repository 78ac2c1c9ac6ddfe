"""What goes by mail: a forgotten password, the confirmation of an e-mail address, and a change of it."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from area.accounts import addresses, reset
from area.accounts.addresses import EmailView
from area.api.problems import answers
from area.api.proof import Password
from area.doors import login
from area.doors.body import Route
from area.doors.deps import Address, In, InPerson, Line, SessionDep, Someone, StateDep, not_foreign

router = APIRouter(route_class=Route)

Token = Annotated[Line, Field(max_length=100, description="From the link in the mail", examples=["tJ3…"])]


class Forgotten(In):
    """Whose password was forgotten."""

    email: Line = Field(max_length=320, examples=["ann@example.org"])


class Reset(In):
    """A new password, and the proof that the mailbox is one's own."""

    token: Token
    new_password: Password = Field(description="8 characters or more, 72 bytes at most")
    revoke_tokens: bool = Field(False, description="Whether API tokens end too; sessions always do")


class Link(In):
    """A link that was mailed."""

    token: Token


class Confirmed(BaseModel):
    """The address that the account has now."""

    email: str


class MailPatch(In):
    """Which mails I want."""

    mail_notices: bool = Field(description="Whether warnings and errors of my inbox are mailed to me")


@router.post(
    "/auth/password/forgot",
    tags=["auth"],
    status_code=202,
    responses=answers(400, 403, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Forget a password",
)
async def forgot_password(form: Forgotten, state: StateDep, session: SessionDep, address: Address) -> None:
    """Mail a link that sets a new password, if an account has this address. The answer is the same if none has."""
    await reset.ask(session, state.settings, form.email, address)


@router.post(
    "/auth/password/reset",
    tags=["auth"],
    status_code=204,
    responses=answers(400, 403, 410, 413, 422),
    dependencies=[Depends(not_foreign)],
    summary="Reset a password",
)
async def reset_password(form: Reset, state: StateDep, session: SessionDep, address: Address) -> None:
    """Set a new password by the link of the mail, which works once and for 30 minutes. All sessions end; two-factor stays on."""
    await login.reset_password(
        state, session, form.token, form.new_password, tokens=form.revoke_tokens, address=address
    )


@router.post(
    "/auth/email/confirm",
    tags=["auth"],
    responses=answers(400, 403, 409, 410, 413, 422),
    dependencies=[Depends(not_foreign)],
    summary="Confirm an e-mail address",
)
async def confirm_email(form: Link, session: SessionDep, address: Address) -> Confirmed:
    """Follow the link of a confirmation; after a change, the address is the account's from now on."""
    return Confirmed(email=await addresses.confirm(session, form.token, address))


@router.post(
    "/auth/email/undo",
    tags=["auth"],
    responses=answers(400, 403, 409, 410, 413, 422),
    dependencies=[Depends(not_foreign)],
    summary="Undo a change of e-mail address",
)
async def undo_email_change(form: Link, session: SessionDep, address: Address) -> Confirmed:
    """Follow the link that was mailed to the address before: it stays or becomes the account's, and all sessions and API tokens end."""
    return Confirmed(email=await addresses.undo(session, form.token, address))


@router.get("/me/email", tags=["me"], responses=answers(401), summary="My e-mail address")
async def read_email(identity: Someone, state: StateDep, session: SessionDep) -> EmailView:
    """My address, whether it is confirmed, and which one it is to become."""
    return await addresses.view(session, state.settings, identity.user.id)


@router.patch("/me/email", tags=["me"], responses=answers(400, 401, 403, 413, 422), summary="Choose my mails")
async def change_mails(form: MailPatch, identity: InPerson, state: StateDep, session: SessionDep) -> EmailView:
    """Have warnings and errors mailed, or not."""
    await addresses.set_mail_notices(session, identity.user.id, wanted=form.mail_notices)
    return await addresses.view(session, state.settings, identity.user.id)


@router.post(
    "/me/email/confirmation",
    tags=["me"],
    status_code=202,
    responses=answers(401, 403, 409, 429),
    summary="Confirm my address",
)
async def send_confirmation(identity: InPerson, state: StateDep, session: SessionDep, address: Address) -> None:
    """Mail the link that confirms my address once more, three times a day at most."""
    await addresses.resend(session, state.settings, identity.user.id, address)


@router.delete("/me/email/change", tags=["me"], status_code=204, responses=answers(401, 403), summary="Keep my address")
async def withdraw_change(identity: InPerson, session: SessionDep) -> None:
    """Keep my present address after all: the one that was to be confirmed is forgotten."""
    await addresses.withdraw(session, identity.user.id)
