"""Re-authentication in a request body: password, code or passkey."""

from typing import Annotated, Any

from pydantic import Field

from area.doors import login
from area.doors.deps import In, Line

Password = Annotated[str, Field(max_length=1024, examples=["correct horse battery"])]


class PasskeyAnswer(In):
    """A passkey's response to a challenge, with the challenge's ticket."""

    ticket: Line = Field(max_length=1000)
    credential: dict[str, Any] = Field(description="The result of `navigator.credentials`, binary values in base64url")


class Proof(In):
    """The password; without one, a code from the authenticator app; or a passkey, after `POST /api/me/prove`."""

    password: Password | None = None
    code: Annotated[Line, Field(max_length=100)] | None = Field(None, description="For an account without a password")
    passkey: PasskeyAnswer | None = None

    def proof(self) -> login.Proof:
        """As `doors.login.prove` takes it."""
        ticket, credential = (self.passkey.ticket, self.passkey.credential) if self.passkey else ("", None)
        return login.Proof(self.password, self.code, ticket, credential)
