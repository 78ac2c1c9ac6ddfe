"""Vendors' own SDKs, each making the calls that AREA's reactions make, against a recorder at 127.0.0.1:PORT.

    python call_sdks.py PORT

What would go to a vendor goes to the recorder instead, with the vendor's name as `Host`. `GET /-/NAME` tells it which
call begins. The names are those of AREA's reactions. Answers say little, so what an SDK raises after it has sent its
request doesn't matter: the recorder has the request.
"""

import asyncio
import sys
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import httplib2
import httpx
import requests
from yarl import URL

PORT = int(sys.argv[1])
HERE = f"127.0.0.1:{PORT}"
TOKEN = "t0ken"


def moved(url: str) -> tuple[str, str]:
    """The address at the recorder, and the vendor's host."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme="http", netloc=HERE)), parts.netloc


def divert() -> None:
    """Send what the HTTP libraries of the SDKs send to the recorder."""
    through_requests = requests.adapters.HTTPAdapter.send

    def send(self: Any, request: Any, **options: Any) -> Any:
        request.url, request.headers["Host"] = moved(request.url)
        return through_requests(self, request, **options | {"verify": False, "timeout": 10})

    requests.adapters.HTTPAdapter.send = send
    through_httpx, through_async_httpx = (
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
    )

    def handle(self: Any, request: Any) -> Any:
        request.url = httpx.URL(moved(str(request.url))[0])
        return through_httpx(self, request)  # `Host` has been set already

    def handle_async(self: Any, request: Any) -> Any:
        request.url = httpx.URL(moved(str(request.url))[0])
        return through_async_httpx(self, request)

    httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request = handle, handle_async
    through_aiohttp = aiohttp.ClientSession._request

    async def ask(self: Any, method: str, url: Any, **options: Any) -> Any:
        to, host = moved(str(url))
        headers = {**(options.pop("headers", None) or {}), "Host": host}
        return await through_aiohttp(self, method, URL(to, encoded=True), headers=headers, **options)

    aiohttp.ClientSession._request = ask
    through_httplib2 = httplib2.Http.request

    def request(self: Any, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **options: Any) -> Any:
        to, host = moved(uri)
        return through_httplib2(self, to, method, body, {**(headers or {}), "host": host}, **options)

    httplib2.Http.request = request


CALLS: dict[str, Callable[[], Any]] = {}


def call(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def kept(function: Callable[[], Any]) -> Callable[[], Any]:
        CALLS[name] = function
        return function

    return kept


def stripe() -> Any:
    import stripe

    return stripe.StripeClient(TOKEN, http_client=stripe.RequestsClient(), max_network_retries=0).v1


call("stripe.create_customer")(
    lambda: stripe().customers.create({"email": "a@example.org", "name": "Ann é", "phone": "+331"})
)
call("stripe.create_invoice_item")(
    lambda: stripe().invoice_items.create(
        {"customer": "cus_1", "amount": 1250, "currency": "eur", "description": "Work & travel"}
    )
)


def slack() -> Any:
    from slack_sdk import WebClient

    return WebClient(TOKEN, base_url=f"http://{HERE}/api/", headers={"Host": "slack.com"})


call("slack.post_message")(lambda: slack().chat_postMessage(channel="C1", text="Hi é", thread_ts="1.2"))
call("slack.add_reaction")(lambda: slack().reactions_add(channel="C1", timestamp="1.2", name="tada"))
call("slack.set_topic")(lambda: slack().conversations_setTopic(channel="C1", topic="Now"))
call("slack.create_channel")(lambda: slack().conversations_create(name="news", is_private=True))


def drive() -> Any:
    from google.oauth2.credentials import Credentials
    from googleapiclient.discovery import build

    return build("drive", "v3", credentials=Credentials(TOKEN), static_discovery=True).files()


call("google_drive.create_folder")(
    lambda: (
        drive()
        .create(body={"name": "Photos", "mimeType": "application/vnd.google-apps.folder", "parents": ["f1"]})
        .execute()
    )
)
call("google_drive.copy_file")(lambda: drive().copy(fileId="d1", body={"name": "Copy", "parents": ["f1"]}).execute())


@call("outlook.send_mail")
async def send_mail() -> Any:
    from kiota_abstractions.authentication import ApiKeyAuthenticationProvider, KeyLocation
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph.generated.models.body_type import BodyType
    from msgraph.generated.models.email_address import EmailAddress
    from msgraph.generated.models.item_body import ItemBody
    from msgraph.generated.models.message import Message
    from msgraph.generated.models.recipient import Recipient
    from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody

    login = ApiKeyAuthenticationProvider(KeyLocation.Header, f"Bearer {TOKEN}", "Authorization")
    client = GraphServiceClient(request_adapter=GraphRequestAdapter(login))
    to = [Recipient(email_address=EmailAddress(address="a@example.org"))]
    message = Message(subject="Hi", body=ItemBody(content="There é", content_type=BodyType.Text), to_recipients=to)
    await client.me.send_mail.post(SendMailPostRequestBody(message=message, save_to_sent_items=True))


def notion() -> Any:
    from notion_client import Client

    return Client(auth=TOKEN)


RICH = [{"type": "text", "text": {"content": "Hi é"}}]
PAGE = "59833787-2cf9-4fdf-8782-e53db20768a5"
call("notion.comment")(lambda: notion().comments.create(parent={"page_id": PAGE}, rich_text=RICH))
call("notion.append_text")(
    lambda: notion().blocks.children.append(
        PAGE, children=[{"object": "block", "type": "paragraph", "paragraph": {"rich_text": RICH}}]
    )
)


async def discord(use: Callable[[Any], Any]) -> None:
    from discord.http import HTTPClient

    client = HTTPClient(asyncio.get_running_loop())
    await client.static_login(TOKEN)
    try:
        await use(client)
    finally:
        await client.close()


@call("discord.send_message")
async def send_message() -> None:
    from discord.http import handle_message_parameters

    await discord(lambda client: client.send_message(11, params=handle_message_parameters(content="Hi é")))


@call("discord.add_role")
async def add_role() -> None:
    await discord(lambda client: client.add_role(10, 12, 13))


async def telegram(use: Callable[[Any], Any]) -> None:
    from telegram import Bot

    async with Bot(TOKEN) as bot:
        await use(bot)


@call("telegram.send_message")
async def telegram_send() -> None:
    await telegram(lambda bot: bot.send_message(7, "<b>Hi</b> é", parse_mode="HTML", disable_notification=True))


@call("telegram.pin_message")
async def telegram_pin() -> None:
    await telegram(lambda bot: bot.pin_chat_message(7, 9, disable_notification=True))


@call("telegram.edit_message")
async def telegram_edit() -> None:
    await telegram(lambda bot: bot.edit_message_text("New", chat_id=7, message_id=9))


def spotify() -> Any:
    from spotipy import Spotify

    return Spotify(auth=TOKEN, retries=0, status_retries=0)


TRACK = "spotify:track:11dFghVXANMlKmJXsNCbNl"
call("spotify.queue_track")(lambda: spotify().add_to_queue(TRACK, device_id="d1"))
call("spotify.pause_playback")(lambda: spotify().pause_playback(device_id="d1"))


def reddit() -> Any:
    from praw import Reddit

    return Reddit(
        client_id="client", client_secret="secret", refresh_token="r", user_agent="x", check_for_updates=False
    )


call("reddit.submit_link")(lambda: reddit().subreddit("python").submit("News", url="https://example.org/?a=1&b=é"))
call("reddit.submit_text")(lambda: reddit().subreddit("python").submit("News", selftext="Text"))
call("reddit.comment")(lambda: reddit().submission("abc").reply("Hi é"))
call("reddit.save")(lambda: reddit().submission("abc").save())


def mastodon() -> Any:
    from mastodon import Mastodon

    return Mastodon(access_token=TOKEN, api_base_url="https://social.example", version_check_mode="none")


call("mastodon.post_status")(
    lambda: mastodon().status_post("Hi é", visibility="unlisted", spoiler_text="CW", language="en", idempotency_key="7")
)
call("mastodon.favourite")(lambda: mastodon().status_favourite("3"))
call("mastodon.boost")(lambda: mastodon().status_reblog("3"))
call("mastodon.bookmark")(lambda: mastodon().status_bookmark("3"))


def todoist() -> Any:
    from todoist_api_python.api import TodoistAPI

    return TodoistAPI(TOKEN)


call("todoist.create_task")(
    lambda: todoist().add_task("Buy é", description="Two", due_string="tomorrow", priority=3, labels=["a"])
)
call("todoist.complete_task")(lambda: todoist().complete_task("6X7"))
call("todoist.comment_on_task")(lambda: todoist().add_comment("Hi é", task_id="6X7"))


def jira() -> Any:
    from atlassian import Jira

    return Jira("https://api.atlassian.com/ex/jira/s1", token=TOKEN, api_version="3", cloud=True)


call("jira.assign_issue")(lambda: jira().assign_issue("K-1", account_id="5b10"))


def gitlab() -> Any:
    from gitlab import Gitlab

    return Gitlab("https://gitlab.com", oauth_token=TOKEN).projects.get("ann/tools", lazy=True)


call("gitlab.open_issue")(lambda: gitlab().issues.create({"title": "Bug", "description": "é", "labels": ["a", "b"]}))
call("gitlab.write_comment")(lambda: gitlab().issues.get(3, lazy=True).notes.create({"body": "Hi é"}))
call("gitlab.run_pipeline")(
    lambda: gitlab().pipelines.create({"ref": "main", "variables": [{"key": "A", "value": "1"}]})
)


def github() -> Any:
    from github import Auth, Github

    return Github(auth=Auth.Token(TOKEN), retry=None)


call("github.open_issue")(
    lambda: github().get_repo("ann/tools", lazy=True).create_issue("Bug", body="é", labels=["a"], assignees=["bob"])
)
call("github.star_repository")(lambda: github().get_user().add_to_starred(github().get_repo("ann/tools")))


def dropbox() -> Any:
    from dropbox import Dropbox

    return Dropbox(TOKEN, max_retries_on_error=0, max_retries_on_rate_limit=0)


call("dropbox.create_folder")(lambda: dropbox().files_create_folder_v2("/Photos é"))
call("dropbox.move")(lambda: dropbox().files_move_v2("/a", "/b"))


async def twitch() -> Any:
    from twitchAPI.twitch import Twitch
    from twitchAPI.type import AuthScope

    client = await Twitch("client", authenticate_app=False)
    scopes = [AuthScope.MODERATOR_MANAGE_ANNOUNCEMENTS, AuthScope.USER_WRITE_CHAT]
    await client.set_user_authentication(TOKEN, scopes, "r", validate=False)
    return client


@call("twitch.announce")
async def announce() -> None:
    client = await twitch()
    await client.send_chat_announcement("1", "1", "Hi é", color="purple")


@call("twitch.send_message")
async def send_chat() -> None:
    client = await twitch()
    await client.send_chat_message("1", "1", "Hi é")


def main() -> None:
    divert()
    for name, function in CALLS.items():
        urllib.request.urlopen(f"http://{HERE}/-/{name}", timeout=10).close()
        try:
            result = function()
            if asyncio.iscoroutine(result):
                asyncio.run(result)
        except BaseException as error:  # noqa: BLE001 - see above
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
