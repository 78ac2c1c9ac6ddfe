"""What vendors gave this installation when it was registered there."""

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Keys:
    """The credentials of this installation at a server."""

    id: str
    secret: SecretStr
    signing: SecretStr | None = None  # signs webhooks, if that is another secret
    topic: str | None = None  # where it publishes, instead of sending webhooks
