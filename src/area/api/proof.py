"""How a body shows again who sends it: the password, a code, or a passkey."""

from typing import Annotated, Any

from pydantic import Field

from area.doors import login
from area.doors.deps import In, Line

Password = Annotated[str, Field(max_length=1024, examples=["correct horse battery"])]


class PasskeyAnswer(In):
    """A passkey's answer to a challenge, with the challenge's ticket."""

    ticket: Line = Field(max_length=1000)
    credential: dict[str, Any] = Field(description="What `navigator.credentials` gave, its binary values in base64url")


class Proof(In):
    """The password, by an account that has one; else a code of its app. Or a passkey, after `POST /api/me/prove`."""

    password: Password | None = None
    code: Annotated[Line, Field(max_length=100)] | None = Field(None, description="By an account without a password")
    passkey: PasskeyAnswer | None = None

    def proof(self) -> login.Proof:
        """As the door takes it."""
        ticket, credential = (self.passkey.ticket, self.passkey.credential) if self.passkey else ("", None)
        return login.Proof(self.password, self.code, ticket, credential)
