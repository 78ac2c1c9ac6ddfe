"""Trello: cards that are created, moved, commented, archived or due; new cards, comments and moves."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from area.sdk import (
    Access,
    Context,
    Credentials,
    Event,
    Hook,
    Option,
    Pick,
    Reply,
    Request,
    Service,
    Subscription,
    hmac_sha1,
    parse,
)  # fmt: skip


class Key(BaseModel):
    """What the connection form asks for."""

    api_key: SecretStr = Field(description="API key of your Power-Up, from trello.com/power-ups/admin")
    token: SecretStr = Field(description="Token, made by the link beside the key")
    secret: SecretStr = Field(description="Secret of the same page, which Trello signs events with")


def _access(key: Key) -> Access:
    # https://developer.atlassian.com/cloud/trello/guides/rest-api/authorization/
    params = {"key": key.api_key.get_secret_value(), "token": key.token.get_secret_value()}
    return Access(params=params, secrets=(key.secret.get_secret_value(),))


async def _works(ctx: Context, key: Key) -> None:  # noqa: ARG001
    # https://developer.atlassian.com/cloud/trello/rest/api-group-members/#api-members-id-get
    await ctx.http.get("/members/me", params={"fields": "username"})


service = Service(
    "trello",
    "Trello",
    "Cards that are created, moved, commented, archived or due; new cards, comments and moves.",
    docs="https://developer.atlassian.com/cloud/trello/rest/",
    base_url="https://api.trello.com/1",
    auth=Credentials(Key, _works, _access),
    quality="verified",
)
# https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures
SIGNED = hmac_sha1("X-Trello-Webhook", encoding="base64", with_url=True)
CardId = Annotated[str, AfterValidator(lambda card: re.sub(r"^https://trello\.com/c/(\w+).*$", r"\1", card))]


def _hello(request: Request) -> Reply | None:
    """Trello looks whether the address is there before it takes it."""
    return Reply() if request.method == "HEAD" else None


class OnBoard(BaseModel):
    """Which board."""

    board: Annotated[str, Pick("boards")] = Field(description="Board", examples=["5abbe4b7ddc1b351ef961414"])


class InList(OnBoard):
    """Which list."""

    list: Annotated[str, Pick("lists")] = Field(description="List", examples=["5abbe4b7ddc1b351ef961415"])


class MaybeInList(OnBoard):
    """Which board, and which list of it."""

    list: Annotated[str, Pick("lists")] = Field("", description="Only this list", examples=["5abbe4b7ddc1b351ef961415"])


class Due(OnBoard):
    """How long before."""

    minutes: int = Field(60, ge=0, le=10_080, description="How many minutes before", examples=[60])


class NewCard(InList):
    """A card to be."""

    name: str = Field(max_length=16_384, description="Its title", examples=["Write the report"])
    text: str = Field("", max_length=16_384, description="Its description", examples=["With figures."])
    due: datetime | None = Field(None, description="When it is due", examples=["2026-11-23T09:00:00Z"])


class OneCard(BaseModel):
    """Which card."""

    card: CardId = Field(
        min_length=8, description="Id or address of the card", examples=["https://trello.com/c/H0TZyzbK"]
    )


class Comment(OneCard):
    """What to say on which card."""

    text: str = Field(min_length=1, max_length=16_384, description="Text", examples=["Done!"])


class Move(OneCard, InList):
    """Where to put which card."""


class Card(BaseModel):
    """A card."""

    id: str = Field(description="Its id", examples=["5abbe4b7ddc1b351ef961416"])
    name: str = Field(description="Its title", examples=["Write the report"])
    url: str = Field(description="Its address", examples=["https://trello.com/c/H0TZyzbK"])
    due: datetime | None = Field(None, description="When it is due", examples=["2026-11-23T09:00:00Z"])


class Change(Card):
    """What happened to a card."""

    list: str = Field("", description="Name of its list", examples=["Doing"])
    list_before: str = Field("", description="Name of the list that it was in before", examples=["To do"])
    text: str = Field("", description="What was commented", examples=["Done!"])
    by: str = Field(description="Name of who did it", examples=["Ada Lovelace"])


class Made(BaseModel):
    """What was written."""

    id: str = Field(description="Its id", examples=["5abbe4b7ddc1b351ef961417"])


@service.webhook("A card is created", verify=SIGNED, handshake=_hello)
async def card_created(ctx: Context, params: MaybeInList, request: Request) -> AsyncIterator[Event[Change]]:  # noqa: ARG001
    """A card is created, copied or sent by mail, on a board or in a list of it."""
    for event in _changes(request, params.list, "createCard", "copyCard", "emailCard", "convertToCardFromCheckItem"):
        yield event


@service.webhook("A card is moved to another list", verify=SIGNED, handshake=_hello)
async def card_moved(ctx: Context, params: MaybeInList, request: Request) -> AsyncIterator[Event[Change]]:  # noqa: ARG001
    """A card is moved to another list of the board, or to a certain one."""
    for event in _changes(request, params.list, "updateCard", having="listAfter"):
        yield event


@service.webhook("A card is commented on", verify=SIGNED, handshake=_hello)
async def card_commented(ctx: Context, params: OnBoard, request: Request) -> AsyncIterator[Event[Change]]:  # noqa: ARG001
    """Somebody comments on a card of a board."""
    for event in _changes(request, "", "commentCard"):
        yield event


@service.webhook("A card is archived", verify=SIGNED, handshake=_hello)
async def card_archived(ctx: Context, params: OnBoard, request: Request) -> AsyncIterator[Event[Change]]:  # noqa: ARG001
    """A card of a board is archived."""
    for event in _changes(request, "", "updateCard", having="old"):
        if request.json()["action"]["data"]["old"].get("closed") is False:
            yield event


async def _subscribe(ctx: Context, params: OnBoard, hook: Hook) -> Subscription:
    secret = ctx.credential.secret.get_secret_value()
    # https://developer.atlassian.com/cloud/trello/rest/api-group-tokens/#api-tokens-token-webhooks-get
    for one in await ctx.http.get(f"/tokens/{ctx.credential.token.get_secret_value()}/webhooks"):
        if (one["callbackURL"], one["idModel"]) == (hook.url, params.board):
            return Subscription(one["id"], secret=secret)
    body = {"callbackURL": hook.url, "idModel": params.board, "description": "AREA"}
    # https://developer.atlassian.com/cloud/trello/rest/api-group-webhooks/#api-webhooks-post
    return Subscription((await ctx.http.post("/webhooks", json=body))["id"], secret=secret)


async def _unsubscribe(ctx: Context, params: OnBoard, hook: Hook, subscription: str) -> None:  # noqa: ARG001
    # https://developer.atlassian.com/cloud/trello/rest/api-group-webhooks/#api-webhooks-id-delete
    await ctx.http.call("DELETE", f"/webhooks/{subscription}")


for webhook in (card_created, card_moved, card_commented, card_archived):
    webhook.subscribe(_subscribe)
    webhook.unsubscribe(_unsubscribe)


def _changes(request: Request, only: str, *kinds: str, having: str = "") -> list[Event[Change]]:
    """What the action of a delivery is, if it is of one of the kinds.

    https://developer.atlassian.com/cloud/trello/guides/rest-api/action-types/
    """
    action = parse(dict[str, Any], request.json(), "Trello").get("action") or {}
    data = action.get("data", {})
    place = data.get("listAfter") or data.get("list") or {}
    if action.get("type") not in kinds or (having and having not in data) or (only and place.get("id") != only):
        return []
    row = data["card"] | {"list": place.get("name", ""), "list_before": data.get("listBefore", {}).get("name", "")}
    row |= {"url": f"https://trello.com/c/{row.get('shortLink')}", "text": data.get("text", "")}
    row["by"] = action.get("memberCreator", {}).get("fullName", "")
    return [Event(action["id"], parse(Change, row, "Trello"), parse(datetime, action["date"], "Trello"))]


@service.poll("A card is due", every=timedelta(minutes=5))
async def card_due(ctx: Context, params: Due, since: datetime) -> AsyncIterator[Event[Card]]:  # noqa: ARG001
    """A card of a board that is not done is due, or will be soon."""
    # https://developer.atlassian.com/cloud/trello/rest/api-group-boards/#api-boards-id-cards-get
    query = {"filter": "visible", "fields": "name,due,dueComplete,url"}
    now = datetime.now(UTC)
    for row in await ctx.http.get(f"/boards/{params.board}/cards", params=query):
        card = parse(Card, row, "Trello")
        ahead = timedelta(minutes=params.minutes)
        if card.due and not row.get("dueComplete") and card.due - ahead <= now <= card.due + timedelta(days=1):
            yield Event(f"{card.id}@{card.due.isoformat()}", card)


@service.reaction("Create a card")
async def create_card(ctx: Context, params: NewCard) -> Card:
    """Create a card at the end of a list."""
    body = {"idList": params.list, "name": params.name, "desc": params.text, "pos": "bottom"}
    if params.due:
        body["due"] = params.due.isoformat()
    # https://developer.atlassian.com/cloud/trello/rest/api-group-cards/#api-cards-post
    return parse(Card, await ctx.http.post("/cards", json=body), "Trello")


@service.reaction("Comment on a card")
async def comment_on_card(ctx: Context, params: Comment) -> Made:
    """Comment on a card."""
    # https://developer.atlassian.com/cloud/trello/rest/api-group-cards/#api-cards-id-actions-comments-post
    return parse(
        Made, await ctx.http.post(f"/cards/{params.card}/actions/comments", json={"text": params.text}), "Trello"
    )


@service.reaction("Move a card to a list")
async def move_card(ctx: Context, params: Move) -> Card:
    """Move a card to the end of a list, of the same board or another."""
    return await _update(ctx, params.card, {"idList": params.list, "idBoard": params.board, "pos": "bottom"})


@service.reaction("Archive a card")
async def archive_card(ctx: Context, params: OneCard) -> Card:
    """Archive a card."""
    return await _update(ctx, params.card, {"closed": "true"})


async def _update(ctx: Context, card: str, body: dict[str, str]) -> Card:
    # https://developer.atlassian.com/cloud/trello/rest/api-group-cards/#api-cards-id-put
    return parse(Card, await ctx.http.call("PUT", f"/cards/{card}", json=body), "Trello")


@service.picker
async def boards(ctx: Context, form: Mapping[str, str]) -> list[Option]:  # noqa: ARG001
    """Open boards of the user."""
    # https://developer.atlassian.com/cloud/trello/rest/api-group-members/#api-members-id-boards-get
    rows = await ctx.http.get("/members/me/boards", params={"filter": "open", "fields": "name"})
    return [Option(one["id"], one["name"]) for one in rows]


@service.picker
async def lists(ctx: Context, form: Mapping[str, str]) -> list[Option]:
    """Open lists of the chosen board."""
    # https://developer.atlassian.com/cloud/trello/rest/api-group-boards/#api-boards-id-lists-get
    if not form.get("board"):
        return []
    rows = await ctx.http.get(f"/boards/{form['board']}/lists", params={"filter": "open", "fields": "name"})
    return [Option(one["id"], one["name"]) for one in rows]
