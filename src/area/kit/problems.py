"""What can be wrong with a request, in sentences for the person who made it.

The domain modules raise these; the doors turn them into their own form (problem details, a page, an exit code).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import TypedDict

from area.kit.sentences import Sentence


class FieldError(TypedDict):
    """One refused field: its path, such as `reaction.parameters.url`, and why."""

    field: str
    message: Sentence


class Problem(Exception):
    """Base class. `str()` is the sentence, `code` a stable slug, `status` the HTTP status.

    `message` is a text with `%(name)s` for each of `values`, never one that is already filled in, or a `Sentence`.
    """

    code: ClassVar[str] = "problem"
    title: ClassVar[str] = "The request can't be fulfilled"
    status: ClassVar[int] = 400
    default: ClassVar[str] = "The request can't be fulfilled."

    def __init__(self, message: str = "", /, **values: object) -> None:
        self.message = Sentence(message or self.default, **values)
        super().__init__(self.message)


class MalformedRequest(Problem):
    """The request can't be read."""

    code, title, status = "bad-request", "Malformed request", 400
    default = "Malformed request."

    def __init__(self, message: str = "", /, *, errors: Sequence[FieldError] = (), **values: object) -> None:
        self.errors: list[FieldError] = list(errors)
        super().__init__(message or (self.errors[0]["message"] if len(self.errors) == 1 else ""), **values)


class Unauthenticated(Problem):
    """The client is not signed in, or not any more."""

    code, title, status = "unauthenticated", "Not logged in", 401
    default = "Log in first."


class SecondFactorRequired(Problem):
    """The first factor is right. The ticket is for one of the methods (app, passkey, recovery_code); `passkey` is the
    argument of `navigator.credentials.get`.
    """

    code, title, status = "second_factor_required", "Second factor required", 401
    default = "Enter the code from your authenticator app, or use a passkey."

    def __init__(self, ticket: str, methods: Sequence[str], passkey: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.ticket = ticket
        self.methods = list(methods)
        self.passkey = passkey


class Forbidden(Problem):
    """The user is known, and not allowed."""

    code, title, status = "forbidden", "Not allowed", 403
    default = "You are not allowed to do this."


class TwoFactorSetupRequired(Problem):
    """The user is known, and must add a second factor first."""

    code, title, status = "two_factor_setup_required", "Second factor needed", 403
    default = "An administrator requires a second factor. Add one in your profile first."


class NotFound(Problem):
    """It doesn't exist, or belongs to someone else: the response is the same."""

    code, title, status = "not-found", "Not found", 404
    default = "Nothing exists at this address."


class Conflict(Problem):
    """Its state doesn't allow this, or the name is taken."""

    code, title, status = "conflict", "Conflict", 409
    default = "This conflicts with the current state."


class Gone(Problem):
    """It existed once: a used invitation, a sign-in that took too long."""

    code, title, status = "gone", "No longer exists", 410
    default = "This no longer exists."


class PreconditionFailed(Problem):
    """It is no longer as the client knows it (RFC 9110, 15.5.13)."""

    code, title, status = "precondition-failed", "Changed in the meantime", 412
    default = "This has changed in the meantime. Fetch it again and repeat your change."


class TooLarge(Problem):
    """More than AREA accepts in one request."""

    code, title, status = "too-large", "Too large", 413
    default = "This is too large."


class Unsupported(Problem):
    """A body of another type (RFC 9110, 15.5.16)."""

    code, title, status = "unsupported-media-type", "Unsupported media type", 415
    default = "Send the body as JSON, with Content-Type: application/json."


class Misdirected(Problem):
    """The request is for a host name that this server doesn't serve (RFC 9110, 15.5.20)."""

    code, title, status = "misdirected", "Misdirected request", 421
    default = (
        "AREA doesn't accept requests for %(host)s. If this host name is yours, add it to AREA_ALLOWED_HOSTS"
        " (AREA_ALLOWED_HOSTS=%(host)s) and restart AREA."
    )


class Invalid(Problem):
    """The input can't be used; `errors` says why for each field."""

    code, title, status = "invalid", "Invalid", 422
    default = "Some fields are invalid."

    def __init__(self, message: str = "", /, *, errors: Sequence[FieldError] = (), **values: object) -> None:
        self.errors: list[FieldError] = list(errors)
        super().__init__(message or (self.errors[0]["message"] if len(self.errors) == 1 else ""), **values)

    @classmethod
    def field(cls, field: str, message: str, /, **values: object) -> "Invalid":
        """For the common case of one wrong field."""
        return cls(errors=[{"field": field, "message": Sentence(message, **values)}])


class TooMany(Problem):
    """Too many requests; retry after `retry_after` seconds."""

    code, title, status = "too-many", "Too many requests", 429

    default = "Too many attempts. Try again in %(seconds)s seconds."

    def __init__(self, message: str = "", /, *, retry_after: float = 60, **values: object) -> None:
        self.retry_after = max(1, round(retry_after))
        super().__init__(message, **(values if message else {"seconds": self.retry_after}))
