"""`area mail`: test the mail server."""

from typing import TYPE_CHECKING, Annotated

import typer

from area.cli import console

if TYPE_CHECKING:
    from area.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Test outgoing mail.")


@app.callback()
def mail() -> None:
    """Test outgoing mail."""


@app.command()
def test(address: Annotated[str, typer.Argument(help="Where to send the mail.")]) -> None:
    """Send a test mail and print the mail server's response.

    Uses AREA_SMTP_URL.
    """
    import asyncio

    console.echo(asyncio.run(_send(console.configured(quiet=True), address)))


async def _send(settings: "Settings", address: str) -> str:
    from secrets import token_hex

    from area.kit import mime
    from area.kit.clock import now
    from area.mail import letters
    from area.mail.letters import Letter
    from area.mail.server import HOW, MailServer, Refused, Unusable, send

    if settings.smtp_url is None:
        raise console.Failed("AREA_SMTP_URL is not set, so this server sends no mail.")
    subject, text = letters.TEST
    try:
        server = MailServer.parse(settings.smtp_url.get_secret_value())
        message = letters.write(
            Letter(address, subject, text % {"site": settings.base_url}),
            sender=server.sender,
            message_id=mime.message_id(token_hex(16), server.domain),
            date=now(),
        )
        async with server.connected() as client:
            response = await send(client, message, server.sender, mime.address(address))
    except (ValueError, Unusable) as error:
        raise console.Failed(str(error)) from error
    except Refused as error:
        raise console.Failed(f"{server} refused the mail to {address}: {error}") from error
    return f"{server} accepted the mail from {server.sender.address} to {address}, {HOW[server.tls]}: {response}"
