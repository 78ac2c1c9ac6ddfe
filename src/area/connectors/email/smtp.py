"""Sending over SMTP (RFC 5321)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiosmtplib

from area.connectors.email.server import TIMEOUT, Server, words
from area.sdk import AuthExpired, ConnectorError, Guard, Permanent, Retry, Sentence, tls_context
from area.sdk.mail import Message

TOO_MANY = (452, 552)


@asynccontextmanager
async def connected(guard: Guard, server: Server, login: str, password: str) -> AsyncIterator[aiosmtplib.SMTP]:
    """A logged-in SMTP connection. Errors inside are raised as `Retry`, `Permanent` or `AuthExpired`."""
    sock = await server.open_socket(guard)
    own = sock.getsockname()[0]
    client = aiosmtplib.SMTP(
        hostname=server.host,
        sock=sock,
        local_hostname=f"[IPv6:{own}]" if ":" in own else f"[{own}]",
        timeout=TIMEOUT,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        tls_context=tls_context(),
        username=login or None,
        password=password,
    )
    try:
        async with client:
            yield client
    except aiosmtplib.SMTPAuthenticationError as error:
        refusal: type[ConnectorError] = AuthExpired if error.code >= 500 else Retry
        raise refusal(
            Sentence(
                "%(server)s rejected the sign-in of %(login)s: %(said)s",
                server=server,
                login=login,
                said=f"{error.code} {words(error.message)}",
            )
        ) from error
    except aiosmtplib.SMTPResponseException as error:
        refusal = Permanent if error.code >= 500 else Retry
        raise refusal(
            Sentence(
                "%(server)s refused the e-mail: %(said)s", server=server, said=f"{error.code} {words(error.message)}"
            )
        ) from error
    except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected) as error:
        cause = error.__cause__
        raise server.explain(cause if isinstance(cause, OSError) else error) from error
    except aiosmtplib.SMTPException as error:
        if "STARTTLS" in error.message:
            raise server.without_starttls(465) from error
        raise Permanent(
            Sentence("%(server)s can't be used: %(said)s", server=server, said=words(error.message))
        ) from error
    except OSError as error:
        raise server.explain(error) from error
    finally:
        client.close()  # one that wasn't opened whole isn't closed by itself


@dataclass(slots=True)
class Delivery:
    """What became of each recipient of a mail. `later` holds those refused for now, and `refused` those refused for
    good, with what the server said.
    """

    recipients: Sequence[str]
    accepted: list[str]
    refused: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)

    @property
    def left(self) -> list[str]:
        """The recipients that the server neither accepted nor refused for good."""
        return [address for address in self.recipients if address not in self.accepted and address not in self.refused]

    def summary(self) -> str:
        """Who was refused and why, and who was not."""
        reasons = "; ".join(f"{address}: {reason}" for address, reason in (self.refused | self.later).items())
        if not self.accepted:
            return reasons
        return Sentence(
            "%(reasons)s. It accepted the e-mail for %(addresses)s.",
            reasons=reasons.removesuffix("."),
            addresses=", ".join(self.accepted),
        )


async def deliver(client: aiosmtplib.SMTP, message: Message, sender: str, delivery: Delivery) -> None:
    """Send a mail to all who are left, in as many transactions as the server needs, and note who got it."""
    asked = delivery.left
    while asked:
        answers = await send(client, message, sender, asked)
        delivery.accepted = [*delivery.accepted, *(address for address in asked if address not in answers)]
        # RFC 5321 §4.5.3.1.10: what too many recipients are told, if it isn't told the first
        too_many = {address for address, answer in answers.items() if answer.code in TOO_MANY and address != asked[0]}
        for address, answer in answers.items():
            final = answer.code >= 500 and address not in too_many
            reason = words(f"{answer.code} {answer.message}")
            (delivery.refused if final else delivery.later)[address] = reason
        asked = [address for address in asked if address in too_many]
    delivery.later = {address: reason for address, reason in delivery.later.items() if address in delivery.left}


async def send(
    client: aiosmtplib.SMTP, message: Message, sender: str, recipients: Sequence[str]
) -> dict[str, aiosmtplib.SMTPResponse]:
    """Send to the recipients the server accepts. Returns its replies for the others, which may be all."""
    utf8 = message.utf8 or not all(address.isascii() for address in (sender, *recipients))
    try:
        refused, _ = await client.sendmail(
            sender, recipients, message.content, mail_options=["SMTPUTF8"] if utf8 else []
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        return {
            refusal.recipient: aiosmtplib.SMTPResponse(refusal.code, refusal.message) for refusal in error.recipients
        }
    except aiosmtplib.SMTPNotSupported as error:
        raise Permanent("This SMTP server doesn't support addresses with non-ASCII letters before the @.") from error
    except ValueError as error:
        raise Permanent(Sentence("An address can't be used: %(error)s", error=error)) from error
    return refused
