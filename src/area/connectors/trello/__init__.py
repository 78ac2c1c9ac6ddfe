"""Trello: triggers on created, moved, commented, archived and due cards; creates, moves, archives and comments on
cards.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator

from area.sdk import (
    Context,
    Event,
    Events,
    Hook,
    Made,
    Output,
    Reply,
    Request,
    Service,
    Subscription,
    composed,
    hmac_sha1,
    lookup,
    output,
    param,
    parse,
    quoted,
    without_blanks,
)
from area.sdk.forms import form, secret, tried

service = Service(
    "trello",
    "Trello",
    "React to cards that are created, moved, commented on, archived or due; create, move and archive cards.",
    docs="https://developer.atlassian.com/cloud/trello/rest/",
    base_url="https://api.trello.com/1",
    auth=form(
        # https://developer.atlassian.com/cloud/trello/rest/api-group-members/#api-members-id-get
        tried("/members/me?fields=username", account="username"),
        # https://developer.atlassian.com/cloud/trello/guides/rest-api/authorization/
        params={"key": "{api_key}", "token": "{token}"},
        api_key=secret("API key of your Power-Up, from trello.com/power-ups/admin"),
        token=secret("Token, from the link next to the key"),
        secret=secret("Secret from the same page; Trello signs events with it"),
    ),
    quality="verified",
    synonyms={
        "": "kanban, board, project management, to-do list",
        "card_created": "new card, new task",
        "card_moved": "card done, status changes, card dragged, moved to done, column",
        "card_archived": "card closed",
        "card_due": "overdue, deadline",
        "create_card": "add a task, ticket, new card, to-do",
        "move_card": "change status, move to done, drag",
    },
)
# https://developer.atlassian.com/cloud/trello/rest/api-group-members/#api-members-id-boards-get
service.options("boards", "/members/me/boards", params={"filter": "open", "fields": "name"})
# https://developer.atlassian.com/cloud/trello/rest/api-group-boards/#api-boards-id-lists-get
service.options("lists", "/boards/{board}/lists", params={"filter": "open", "fields": "name"})

# https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures
SIGNED = hmac_sha1("X-Trello-Webhook", encoding="base64", with_url=True)
Board = Annotated[str, param("Board", "5abbe4b7ddc1b351ef961414", pick="boards")]
List = Annotated[str, param("List", "5abbe4b7ddc1b351ef961415", pick="lists")]
OnlyList = Annotated[List, param("Only this list")]
CardId = Annotated[
    str,
    param("ID or URL of the card", "https://trello.com/c/H0TZyzbK", min_length=8),
    AfterValidator(lambda card: re.sub(r"^https://trello\.com/c/(\w+).*$", r"\1", card)),
]


def _hello(request: Request) -> Reply | None:
    """Trello checks that the URL exists before it creates the webhook."""
    return Reply() if request.method == "HEAD" else None


class Card(Output):
    id: str = output("id", "ID", "5abbe4b7ddc1b351ef961416")
    name: str = output("name", "Title", "Write the report")
    url: str = output("url", "URL", "https://trello.com/c/H0TZyzbK")
    due: datetime | None = output("due", "Due date", "2026-11-23T09:00:00Z", None)


class Change(Output):
    id: str = output("data.card.id", "ID", "5abbe4b7ddc1b351ef961416")
    name: str = output("data.card.name", "Title", "Write the report")
    url: str = composed("https://trello.com/c/{data.card.shortLink}", "URL", "https://trello.com/c/H0TZyzbK")
    due: datetime | None = output("data.card.due", "Due date", "2026-11-23T09:00:00Z", None)
    list: str = output("data.listAfter.name data.list.name", "List name", "Doing", "")
    list_before: str = output("data.listBefore.name", "Name of the previous list", "To do", "")
    text: str = output("data.text", "Comment", "Done!", "")
    by: str = output("memberCreator.fullName", "Person", "Ada Lovelace")


@service.webhook("Card created", verify=SIGNED, handshake=_hello)
def card_created(request: Request, board: Board, list: OnlyList = "") -> Events[Change]:
    """Triggers when a card is created, copied or e-mailed to a board or one of its lists."""
    return _changes(request, "createCard copyCard emailCard convertToCardFromCheckItem", list)


@service.webhook("Card moved to another list", verify=SIGNED, handshake=_hello)
def card_moved(request: Request, board: Board, list: OnlyList = "") -> Events[Change]:
    """Triggers when a card is moved to another list of the board, or to one list only."""
    return _changes(request, "updateCard", list, lambda data: "listAfter" in data)


@service.webhook("New comment on a card", verify=SIGNED, handshake=_hello)
def card_commented(request: Request, board: Board) -> Events[Change]:
    """Triggers when someone comments on a card of a board."""
    return _changes(request, "commentCard")


@service.webhook("Card archived", verify=SIGNED, handshake=_hello)
def card_archived(request: Request, board: Board) -> Events[Change]:
    """Triggers when a card of a board is archived."""
    return _changes(request, "updateCard", "", lambda data: lookup("old.closed", data) is False)


async def _subscribe(ctx: Context, board: str, hook: Hook) -> Subscription:
    secret = ctx.credential.secret.get_secret_value()
    # https://developer.atlassian.com/cloud/trello/rest/api-group-tokens/#api-tokens-token-webhooks-get
    for item in await ctx.http.get(f"/tokens/{ctx.credential.token.get_secret_value()}/webhooks"):
        if (item["callbackURL"], item["idModel"]) == (hook.url, board):
            return Subscription(item["id"], secret=secret)
    body = {"callbackURL": hook.url, "idModel": board, "description": "AREA"}
    # https://developer.atlassian.com/cloud/trello/rest/api-group-webhooks/#api-webhooks-post
    return Subscription((await ctx.http.post("/webhooks", json=body))["id"], secret=secret)


async def _unsubscribe(ctx: Context, subscription: str) -> None:
    # https://developer.atlassian.com/cloud/trello/rest/api-group-webhooks/#api-webhooks-id-delete
    await ctx.http.call("DELETE", f"/webhooks/{subscription}")


for webhook in (card_created, card_moved, card_commented, card_archived):
    webhook.subscribe(_subscribe)
    webhook.unsubscribe(_unsubscribe)


async def _changes(
    request: Request, kinds: str, only: str = "", where: Callable[[dict[str, Any]], bool] = bool
) -> Events[Change]:
    """The change in a delivery, if it is one of the kinds, in the `only` list if given, and passes `where`.

    https://developer.atlassian.com/cloud/trello/guides/rest-api/action-types/
    """
    action = parse(dict[str, Any], request.json(), "Trello").get("action") or {}
    data = action.get("data", {})
    listed = only in ("", lookup("listAfter.id list.id", data))
    if action.get("type") in kinds.split() and listed and where(data):
        yield Event(action["id"], parse(Change, action, "Trello"), parse(datetime, action["date"], "Trello"))


@service.poll("Card due", every=timedelta(minutes=5))
async def card_due(
    ctx: Context, board: Board, minutes: Annotated[int, param("Minutes before", 60, ge=0, le=10_080)] = 60
) -> Events[Card]:
    """Triggers when a card that isn't done is due, or a number of minutes before."""
    query = {"filter": "visible", "fields": "name,due,dueComplete,url"}
    now, ahead = datetime.now(UTC), timedelta(minutes=minutes)
    # https://developer.atlassian.com/cloud/trello/rest/api-group-boards/#api-boards-id-cards-get
    async for row in ctx.http.rows(quoted("/boards/{}/cards", board), params=query):
        card = parse(Card, row, "Trello")
        if card.due and not row.get("dueComplete") and card.due - ahead <= now <= card.due + timedelta(days=1):
            yield Event(f"{card.id}@{card.due.isoformat()}", card)


@service.reaction("Create a card", on_crash="fail")
async def create_card(
    ctx: Context,
    board: Board,
    list: List,
    name: Annotated[str, param("Title", "Write the report", max_length=16_384)],
    text: Annotated[str, param("Description", "With figures.", max_length=16_384)] = "",
    due: Annotated[datetime | None, param("Due date", "2026-11-23T09:00:00Z")] = None,
) -> Card:
    """Create a card at the end of a list."""
    body = {"idList": list, "name": name, "desc": text, "pos": "bottom"} | without_blanks(due=due and due.isoformat())
    # https://developer.atlassian.com/cloud/trello/rest/api-group-cards/#api-cards-post
    return await ctx.http.post("/cards", Card, json=body)


@service.reaction("Comment on a card", on_crash="fail")
async def comment_on_card(
    ctx: Context, card: CardId, text: Annotated[str, param("Text", "Done!", min_length=1, max_length=16_384)]
) -> Made:
    # https://developer.atlassian.com/cloud/trello/rest/api-group-cards/#api-cards-id-actions-comments-post
    return await ctx.http.post(quoted("/cards/{}/actions/comments", card), Made, json={"text": text})


@service.reaction("Move a card to a list", idempotent="same")
async def move_card(ctx: Context, board: Board, list: List, card: CardId) -> Card:
    """Move a card to the end of a list on the same board or another."""
    return await _update(ctx, card, {"idList": list, "idBoard": board, "pos": "bottom"})


@service.reaction("Archive a card", idempotent="same")
async def archive_card(ctx: Context, card: CardId) -> Card:
    return await _update(ctx, card, {"closed": "true"})


@service.lookup("Find a card")
async def find_card(
    ctx: Context, board: Board, words: Annotated[str, param("Text in its title", "report", min_length=1)]
) -> Card | None:
    """Find the first card of a board whose title contains a text. Archived cards don't count."""
    query = {"filter": "visible", "fields": "name,due,url"}
    # https://developer.atlassian.com/cloud/trello/rest/api-group-boards/#api-boards-id-cards-get
    async for card in ctx.http.rows(quoted("/boards/{}/cards", board), Card, params=query):
        if words.casefold() in card.name.casefold():
            return card
    return None


async def _update(ctx: Context, card: str, body: dict[str, str]) -> Card:
    # https://developer.atlassian.com/cloud/trello/rest/api-group-cards/#api-cards-id-put
    return await ctx.http.ask("PUT", quoted("/cards/{}", card), Card, json=body)
