"""What connections that are forms have in common: the address of a server of one's own, and how they are tried."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel

from area.sdk.context import Context
from area.sdk.errors import AuthExpired, Permanent


def server(example: str) -> AfterValidator:
    """Take the address of a server, in `Annotated`: its origin is kept, with https where none is said. `example` is what it looks like."""

    def origin(text: str) -> str:
        parts = urlsplit(text if "://" in text else f"https://{text.strip()}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"It must be the address of a server, such as {example}.")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    return AfterValidator(origin)


def tried(path: str, refused: str) -> Callable[[Context, BaseModel], Awaitable[None]]:
    """Have `Credentials` tried by a GET of `path`; when they are not let in, `refused` is said, with the form's fields in braces."""

    async def test(ctx: Context, credential: BaseModel) -> None:
        try:
            await ctx.http.get(path)
        except AuthExpired as error:
            raise Permanent(f"{refused.format(**dict(credential))} {error}") from error

    return test
