"""Password reset, and confirming or changing an e-mail address, by mailed link."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from area.accounts import addresses, reset
from area.accounts.addresses import EmailView
from area.api.problems import answers
from area.api.proof import Password
from area.doors import login
from area.doors.deps import Address, In, InPerson, Line, SessionDep, Someone, StateDep, not_foreign
from area.doors.route import Route

router = APIRouter(route_class=Route)

Token = Annotated[Line, Field(max_length=100, description="From the link in the mail", examples=["tJ3…"])]


class Forgotten(In):
    """The account's e-mail address."""

    email: Line = Field(max_length=320, examples=["ann@example.org"])


class Reset(In):
    """A new password, and the token from the mailed link."""

    token: Token
    new_password: Password = Field(description="8 characters or more, 72 bytes at most")
    revoke_tokens: bool = Field(False, description="Also revoke API tokens; sessions always end")


class Link(In):
    """The token from a mailed link."""

    token: Token


class Confirmed(BaseModel):
    """The account's current e-mail address."""

    email: str


class MailPatch(In):
    """Which mails to receive."""

    mail_notices: bool = Field(description="Whether to also send warnings and errors by mail")


@router.post(
    "/auth/password/forgot",
    tags=["auth"],
    status_code=202,
    responses=answers(400, 403, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Request a password reset",
)
async def forgot_password(form: Forgotten, state: StateDep, session: SessionDep, address: Address) -> None:
    """Mail a password reset link if an account has this address. The response is the same if none has."""
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
    """Set a new password with the token from the mailed link, which works once, for 30 minutes. All sessions end;
    two-factor authentication stays on.
    """
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
    """Confirm an e-mail address with the token from the mailed link. A new address then replaces the old one."""
    return Confirmed(email=await addresses.confirm(session, form.token, address))


@router.post(
    "/auth/email/undo",
    tags=["auth"],
    responses=answers(400, 403, 409, 410, 413, 422),
    dependencies=[Depends(not_foreign)],
    summary="Undo a change of e-mail address",
)
async def undo_email_change(form: Link, session: SessionDep, address: Address) -> Confirmed:
    """Undo a change of address with the token that was mailed to the old one. The old address is restored, and all
    sessions and API tokens end.
    """
    return Confirmed(email=await addresses.undo(session, form.token, address))


@router.get("/me/email", tags=["me"], responses=answers(401), summary="Get my e-mail address")
async def read_email(identity: Someone, state: StateDep, session: SessionDep) -> EmailView:
    """Your e-mail address, whether it is confirmed, and the pending one, if any."""
    return await addresses.view(session, state.settings, identity.user.id)


@router.patch("/me/email", tags=["me"], responses=answers(400, 401, 403, 413, 422), summary="Change mail settings")
async def change_mails(form: MailPatch, identity: InPerson, state: StateDep, session: SessionDep) -> EmailView:
    """Receive warnings and errors by mail, or not."""
    await addresses.set_mail_notices(session, identity.user.id, wanted=form.mail_notices)
    return await addresses.view(session, state.settings, identity.user.id)


@router.post(
    "/me/email/confirmation",
    tags=["me"],
    status_code=202,
    responses=answers(401, 403, 409, 429),
    summary="Resend the confirmation",
)
async def send_confirmation(identity: InPerson, state: StateDep, session: SessionDep, address: Address) -> None:
    """Send the confirmation link again, at most three times a day."""
    await addresses.resend(session, state.settings, identity.user.id, address)


@router.delete(
    "/me/email/change", tags=["me"], status_code=204, responses=answers(401, 403), summary="Cancel a change of address"
)
async def withdraw_change(identity: InPerson, session: SessionDep) -> None:
    """Cancel a pending change of address and keep the current one."""
    await addresses.withdraw(session, identity.user.id)
