"""Feeds as blogs and release pages write them, served by a real HTTP server and polled before and after each change."""

import json
import resource
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from area.connectors import rss
from area.connectors.rss import Item, new_item, newest_item
from area.connectors.rss import reader as rss_reader
from area.kit.http import Client
from area.kit.sandbox import Decoder
from area.sdk import Context, Event, Guard, Http, Permanent, Retry
from area.sdk.decoding import documents
from area.sdk.dedupe import Seen, fresh
from area.sdk.testing import act, finds_nothing

START = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=30, microsecond=0)


class Peer:
    """A server of one feed."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.asked: list[dict[str, str]] = []
        self.body, self.headers = b"", {}

    @property
    def url(self) -> str:
        return str(self.server.make_url("/blog/feed.xml"))

    def serves(self, body: str | bytes, content_type: str = "application/rss+xml", **headers: str) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = {"Content-Type": content_type} | {n.replace("_", "-"): v for n, v in headers.items()}

    async def handle(self, incoming: web.Request) -> web.Response:
        self.asked.append(dict(incoming.headers))
        if "ETag" in self.headers and incoming.headers.get("If-None-Match") == self.headers["ETag"]:
            return web.Response(status=304)
        return web.Response(body=self.body, headers=self.headers)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    application = web.Application()
    server = TestServer(application)
    it = Peer(server)
    application.router.add_get("/{path:.*}", it.handle)
    await server.start_server()
    yield it
    await server.close()


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    guard = Guard(allow=["127.0.0.1"])
    client = Client(guard)
    yield Context(http=Http(client), guard=guard, platform=cast(Any, None))
    await client.close()


async def look(ctx: Context, peer: Peer, **params: Any) -> list[Event[Item]]:
    """Items in the order of the feed."""
    params = {"url": peer.url} | params
    events = [event async for event in new_item.function(ctx, new_item.params(**params), START)]
    for event in events:
        Item.model_validate(event.data.model_dump())
    return events[::-1]


def channel(*items: str) -> str:
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>A &amp; B</title>{"".join(items)}</channel></rss>'


async def test_rss_2(ctx, peer):
    peer.serves(
        """<?xml version="1.0" encoding="UTF-8"?>
        <rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
             xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/">
        <channel><title>Caf&#233; &amp; more</title>
        <item>
          <title>Tom &amp;amp; Jerry</title><link>/posts/1?a=1&amp;b=2</link><guid isPermaLink="false">post-1</guid>
          <pubDate>Mon, 23 Nov 2026 10:00:01 +0100</pubDate><dc:creator>Ada</dc:creator>
          <category>cats</category><category>mice</category>
          <description>&lt;p&gt;One&lt;/p&gt;two &lt;b&gt;bo&lt;/b&gt;ld</description>
          <content:encoded><![CDATA[<p onclick="x()">Long <a href="/more">more</a><script>alert(1)</script></p>]]></content:encoded>
          <media:thumbnail url="/thumb.png"/>
        </item></channel></rss>"""
    )
    (event,) = await look(ctx, peer)
    assert event.id == event.data.id == "post-1"
    assert event.at == event.data.published == datetime(2026, 11, 23, 9, 0, 1, tzinfo=UTC)
    base = str(peer.server.make_url("/"))
    assert event.data.title == "Tom & Jerry"
    assert event.data.link == f"{base}posts/1?a=1&b=2"
    assert event.data.author == "Ada"
    assert event.data.categories == ["cats", "mice"]
    assert event.data.summary == "One two bold"
    assert event.data.content == f'<p>Long <a href="{base}more">more</a></p>'
    assert event.data.image == f"{base}thumb.png"
    assert event.data.feed_title == "Café & more"
    assert event.data.feed_url == peer.url


async def test_atom(ctx, peer):
    peer.serves(
        """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://example.org/blog/"><title>Atom</title>
        <entry><id>tag:example.org,2026:1</id><title type="html">&lt;i&gt;One&lt;/i&gt;</title><link href="one.html"/>
        <updated>2026-11-23T09:00:00.5Z</updated><author><name>Ada</name></author><category term="a"/>
        <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>x <img src="pic.png"/></p></div></content></entry>
        <entry><id>tag:example.org,2026:2</id><title>1 &lt; 2</title><published>2026-11-22T09:00:00Z</published>
        <updated>2026-11-23T09:00:00Z</updated><summary>short</summary></entry></feed>""",
        "application/atom+xml",
    )
    one, two = await look(ctx, peer)
    assert (one.id, one.data.title, one.data.link) == (
        "tag:example.org,2026:1",
        "One",
        "https://example.org/blog/one.html",
    )
    assert one.data.published == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert one.data.image == "https://example.org/blog/pic.png"
    assert one.data.summary == "x"
    assert (two.data.title, two.data.summary, two.data.content) == ("1 < 2", "short", "short")
    assert two.data.published == datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    assert (two.data.link, two.data.author, two.data.image) == (None, None, None)


async def test_rdf(ctx, peer):
    peer.serves(
        """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
        xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://x/"><title>RDF</title></channel>
        <item rdf:about="https://x/1"><title>One</title><link>https://x/1</link><dc:date>2026-11-23T09:00:01Z</dc:date></item>
        </rdf:RDF>""",
        "application/rdf+xml",
    )
    (event,) = await look(ctx, peer)
    assert (event.id, event.data.title, event.data.feed_title) == ("https://x/1", "One", "RDF")
    assert event.at == datetime(2026, 11, 23, 9, 0, 1, tzinfo=UTC)


async def test_json_feed(ctx, peer):
    items = [
        {
            "id": 1,
            "url": "/one",
            "title": "One",
            "content_html": "<p>a<script>x</script> <b>b</b></p>",
            "date_published": "2026-11-23T10:00:01+01:00",
            "authors": [{"name": "Ada"}],
            "tags": ["t"],
            "image": "/one.png",
        },
        {"id": "2", "external_url": "https://e.org/2", "content_text": "1 < 2", "summary": "s"},
        {"title": 5, "date_published": "soon", "authors": "Ada", "tags": {"a": 1}, "content_html": None},
        "no item",
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "J", "items": items, "author": {"name": "Feed"}}
    peer.serves("\ufeff" + json.dumps(feed), "application/feed+json")
    one, two, three = await look(ctx, peer)
    base = str(peer.server.make_url("/"))
    assert (one.id, one.data.link, one.data.image) == ("1", f"{base}one", f"{base}one.png")
    assert (one.data.content, one.data.summary) == ("<p>a <b>b</b></p>", "a b")
    assert one.at == one.data.published == datetime(2026, 11, 23, 9, 0, 1, tzinfo=UTC)
    assert (one.data.author, one.data.categories, one.data.feed_title) == ("Ada", ["t"], "J")
    assert (two.id, two.data.link, two.data.summary, two.data.content) == ("2", "https://e.org/2", "s", "1 &lt; 2")
    assert two.data.author == "Feed"
    assert (three.data.title, three.data.published, three.data.categories, len(three.id)) == ("5", None, [], 64)


@pytest.mark.parametrize(
    ("item", "identity"),
    [
        ("<guid>g</guid><link>https://x/1</link>", "g"),
        ("<guid>12345</guid>", "12345"),
        ("<guid>https://x/1</guid>", "https://x/1"),
        ("<link>https://x/1</link><title>t</title>", "https://x/1"),
        ('<enclosure url="https://x/1.mp3" type="audio/mpeg" length="1"/>', "https://x/1.mp3"),
    ],
)
async def test_what_names_an_item(ctx, peer, item, identity):
    peer.serves(channel(f"<item>{item}</item>"))
    (event,) = await look(ctx, peer)
    assert event.id == identity
    assert event.data.link == (None if identity == "12345" else f"https://x/1{'.mp3' * ('mp3' in identity)}")


async def test_items_with_neither_guid_nor_link(ctx, peer):
    one = "<item><title>t</title><pubDate>Mon, 23 Nov 2026 10:00:01 GMT</pubDate></item>"
    peer.serves(channel(one, one.replace("10:", "11:"), "<item><description>d</description></item>", "<item/>"))
    ids = [event.id for event in await look(ctx, peer)]
    assert len(set(ids)) == 4
    peer.serves(channel("<item><title>new</title></item>", one))
    ctx.state.clear()
    assert (await look(ctx, peer))[1].id == ids[0]


async def test_long_ids_are_hashed(ctx, peer):
    peer.serves(channel(f"<item><guid>{'x' * 300}</guid></item>"))
    (event,) = await look(ctx, peer)
    assert len(event.id) == 64
    assert event.data.id == "x" * 300


@pytest.mark.parametrize(
    ("stamp", "published", "at"),
    [
        ("", None, None),
        ("soon", None, None),
        ("Mon, 23 Nov 2026 10:00:01 +0100", "2026-11-23T09:00:01+00:00", "2026-11-23T09:00:01+00:00"),
        # a day without a time: what comes at noon must not look twelve hours late
        ("Mon, 23 Nov 2026 00:00:00 +0100", "2026-11-22T23:00:00+00:00", None),
        ("2026-11-23", "2026-11-23T00:00:00+00:00", None),
        ("Mon, 99 Nov 2026 10:00:01 +0100", None, None),
    ],
)
async def test_dates(ctx, peer, stamp, published, at):
    peer.serves(channel(f"<item><guid>g</guid><pubDate>{stamp}</pubDate></item>"))
    (event,) = await look(ctx, peer)
    assert event.data.published == (published and datetime.fromisoformat(published))
    assert event.at == (at and datetime.fromisoformat(at))


@pytest.mark.parametrize(
    "params",
    [
        {"title_contains": "RELEASE"},
        {"text_contains": "straße"},
        {"text_contains": "in the content"},
        {"title_contains": "release", "text_contains": "STRASSE"},
        {"title_contains": "", "text_contains": None},
    ],
)
async def test_filters_that_let_it_through(ctx, peer, params):
    content = "<content:encoded>said &lt;b&gt;in&lt;/b&gt; the content</content:encoded>"
    item = f"<item><guid>g</guid><title>Release 1</title><description>Straße</description>{content}</item>"
    space = ' xmlns:content="http://purl.org/rss/1.0/modules/content/"'
    peer.serves(channel(item).replace('"2.0"', f'"2.0"{space}'))
    assert len(await look(ctx, peer, **params)) == 1


@pytest.mark.parametrize(
    "params", [{"title_contains": "straße"}, {"text_contains": "release"}, {"text_contains": "<b>"}]
)
async def test_filters_that_do_not(ctx, peer, params):
    peer.serves(
        channel("<item><guid>g</guid><title>Release 1</title><description>a &lt;b&gt; straße</description></item>")
    )
    assert await look(ctx, peer, **params) == []


@pytest.mark.parametrize("title", ["Q&A", "<![CDATA[Q&A]]>", "Q&amp;A", "Q&amp;amp;A", "Q&#38;amp;A"])
async def test_ampersands(ctx, peer, title):
    peer.serves(channel(f"<item><guid>g</guid><title>{title}</title><link>https://x/?a=1&b=2</link></item>"))
    (event,) = await look(ctx, peer)
    assert (event.data.title, event.data.link) == ("Q&A", "https://x/?a=1&b=2")


async def test_entities_of_html(ctx, peer):
    peer.serves(channel("<item><guid>g</guid><title>&eacute;t&eacute;&nbsp;&mdash; &unknown; &</title></item>"))
    (event,) = await look(ctx, peer)
    assert event.data.title == "été — &unknown; &"


async def test_what_is_cut_off_waits_for_the_whole(ctx, peer):
    whole = channel("<item><guid>a</guid><title>A</title></item>", "<item><guid>b</guid><title>B</title></item>")
    for cut, expected in (("<guid>b</guid><title>", ["a"]), ("<item><guid>b", ["a"]), ("</channel>", ["a", "b"])):
        ctx.state.clear()
        peer.serves(whole[: whole.rindex(cut) + len(cut) - 1])
        assert [event.id for event in await look(ctx, peer)] == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (channel("<item><guid>é</guid></item>").encode(), "text/xml"),
        (channel("<item><guid>é</guid></item>").encode("utf-16"), "application/xml"),
        (channel("<item><guid>é</guid></item>").replace("?>", ' encoding="utf-8"?>').encode("latin-1"), "text/xml"),
        (channel("<item><guid>é</guid></item>").replace("?>", ' encoding="x-none"?>').encode(), "application/xml"),
        (channel("<item><guid>é</guid></item>").encode("windows-1252"), "text/xml; charset=windows-1252"),
    ],
)
async def test_wrong_and_other_charsets(ctx, peer, body, content_type):
    peer.serves(body, content_type)
    assert [event.id for event in await look(ctx, peer)] == ["é"]


async def test_a_stray_byte_garbles_nothing_else(ctx, peer):
    head = '<?xml version="1.0" encoding="utf-8"?>'
    text = channel(
        "<item><guid>1</guid><title>déjà vu</title></item>", "<item><guid>2</guid><title>été BYTE</title></item>"
    )
    peer.serves(
        text.replace('<?xml version="1.0"?>', head).encode().replace(b"BYTE", b"\xe9"), "text/xml; charset=utf-8"
    )
    assert [event.data.title for event in await look(ctx, peer)] == ["déjà vu", "été \ufffd"]


@pytest.mark.parametrize(
    ("declared", "header", "codec", "title"),
    [
        ("gb2312", "", "gb18030", "朱镕基"),
        ("", "; charset=ks_c_5601-1987", "cp949", "똠방각하"),
        ("iso-8859-1", "", "cp1252", "“été” €"),
        ("Shift_JIS", "; charset=x-none", "cp932", "①髙﨑"),
        ("utf-8", "; charset=iso-8859-1", "utf-8", "été 日本"),  # a server's default for all files
        ("iso-2022-jp", "", "iso2022_jp", "テスト"),
        ("utf-16", "", "utf-16-le", "été"),
    ],
)
async def test_charsets_mean_what_browsers_mean(ctx, peer, declared, header, codec, title):
    text = channel(f"<item><guid>1</guid><title>{title}</title></item>").removeprefix('<?xml version="1.0"?>')
    encoding = f' encoding="{declared}"' if declared else ""
    peer.serves(f'<?xml version="1.0"{encoding}?>{text}'.encode(codec), f"application/rss+xml{header}")
    assert [event.data.title for event in await look(ctx, peer)] == [title]


@pytest.mark.parametrize(
    "bad",
    [
        '<item><enclosure url="http://[x]/a.mp3" type="audio/mpeg" length="9"/></item>',
        '<item><link>http://[x]/</link><media:content url="http://[y" medium="video"/></item>',
        '<item xml:base="http://[x]/"><link>a</link></item>',
        "<item><textInput><title>a</title><name>q</name><link>http://[x]/</link></textInput></item>",
        "<item><textInput>a</textInput><textInput><title>b</title></textInput></item>",
        "<item><title>&#xD83D; &#0; &#x110000; &#99999999999999999999;</title></item>",
        "<item><pubDate>Mon, 99 Foo 99999 99:99:99 +9999</pubDate></item>",
        "<item><itunes:duration>1:2:3:4</itunes:duration><itunes:image/></item>",
        "<item><title>\x01\x0b</title></item>",
        "<item></item>",
    ],
)
async def test_one_bad_item_takes_no_other_along(ctx, peer, bad):
    spaces = 'xmlns:media="http://search.yahoo.com/mrss/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
    good = [
        "<item><guid>1</guid></item>",
        bad,
        "<item><guid>2</guid></item>",
        "<textInput><title>s</title></textInput>",
    ]
    peer.serves(channel(*good).replace("<rss ", f"<rss {spaces} "))
    assert {"1", "2"} <= {event.id for event in await look(ctx, peer)}


@pytest.mark.parametrize(
    "item",
    [
        '<item><title>odd</title><enclosure url="http://[x/a.mp3" type="audio/mpeg" length="9"/></item>',
        "<item><title>odd</title><guid>3</guid><link>http://[x/</link></item>",
        '<item><title>odd</title><guid>3</guid><media:content url="http://[x:y/" medium="image"/></item>',
    ],
)
async def test_an_item_with_an_impossible_address_fires_without_it(ctx, peer, item):
    space = 'xmlns:media="http://search.yahoo.com/mrss/"'
    peer.serves(channel("<item><guid>1</guid></item>", item).replace("<rss ", f"<rss {space} "))
    (event,) = [event for event in await look(ctx, peer) if event.data.title == "odd"]
    assert (event.data.attachments, event.data.image) == ([], None)


async def test_an_item_of_a_json_feed_with_an_impossible_address_fires(ctx, peer):
    items = [
        {"id": "1", "title": "a", "url": "http://[x", "attachments": [{"url": "http://[x", "size_in_bytes": 10**40}]},
        {"title": "b", "url": "http://[x", "image": "http://a:b:c/"},
    ]
    feed = {"version": "https://jsonfeed.org/version/1.1", "items": items}
    peer.serves(json.dumps(feed).encode(), "application/feed+json")
    assert {event.data.title for event in await look(ctx, peer)} == {"a", "b"}


async def test_what_feedparser_fails_on_is_left_out_and_told(ctx, monkeypatch):
    whole = rss_reader._parse

    def failing(stream, **options):
        if b"poison" in stream.getvalue():
            raise KeyError("a bug")
        return whole(stream, **options)

    monkeypatch.setattr(rss_reader, "_parse", failing)
    items = [f"<item><guid>{number}</guid></item>" for number in range(9)]
    items[4] = "<item><guid>4</guid><title>poison</title></item>"
    found, skipped = rss_reader.read(channel(*items).encode(), "https://example.org/", "text/xml")
    assert ([item["id"] for item in found], skipped) == ([str(number) for number in range(9) if number != 4], 1)
    assert rss._left_out(skipped) == "1 item of the feed can't be read and was left out."


@pytest.mark.parametrize(
    ("before", "item", "after"),
    [
        ('<feed xmlns="http://example.org/a b"><title>T</title>', "<entry><id>%d</id></entry>", "</feed>"),
        (
            '<rss version="2.0" xmlns:x="http://a b c"><channel><title>T</title>',
            "<item><guid>%d</guid></item>",
            "</channel></rss>",
        ),
        (
            '<rss version="2.0"><channel><textInput><media:thumbnail url="x"/>',
            "<item><guid>%d</guid></item>",
            "</channel></rss>",
        ),
        (
            '<rss version="2.0"><channel><title>T</title>',
            "<item><guid>%d</guid></item>",
            '<item><textInput><itunes:image href="x"/></iel></channel></rss>',
        ),
    ],
)
def test_a_frame_that_feedparser_fails_on_takes_no_item(before, item, after):
    document = before + "".join(item % number for number in range(5)) + after
    found, _skipped = rss_reader.read(document.encode(), "https://example.org/", "text/xml")
    assert [item["id"] for item in found] == ["0", "1", "2", "3", "4"]


async def test_what_the_feed_gives_to_tell_items_apart_is_told(ctx, peer):
    async def note(*items: str) -> str | None:
        peer.serves(channel(*items))
        await look(ctx, peer)
        return ctx.state.get("note")

    plain = "<item><guid>{0}</guid><title>t{0}</title><link>https://x/{0}</link></item>"
    assert await note(plain.format(1), plain.format(2)) is None
    shared = "<item><guid>0</guid><link>https://x/{0}</link></item>"
    assert "have the same ID" in str(await note(shared.format(1), shared.format(2)))
    assert await note(plain.format(1), plain.format(2)) is None
    rotating = "<item><guid>{1}-{0}</guid><title>t{0}</title><link>https://x/{0}</link></item>"
    assert "item IDs change each time" in str(await note(rotating.format(1, "a"), rotating.format(2, "a")))
    assert "no title, link or date" in str(await note("<item><guid>a-1</guid><description>d</description></item>"))
    for number in range(5):
        strange = [f"<item><guid>{number}{place}</guid><title>{number}{place}</title></item>" for place in "ab"]
        told = await note(*strange)
        assert ("Every item of the feed was new" in str(told)) == (number >= 2)


async def test_billion_laughs(ctx, peer):
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{entities}]>'
    peer.serves(bomb + channel("<item><guid>g</guid><title>&l9;</title></item>").removeprefix('<?xml version="1.0"?>'))
    (event,) = await look(ctx, peer)
    assert len(event.data.title) < 100


async def test_external_entities_are_not_read(ctx, peer, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    dtd = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "file://{secret}">]>'
    peer.serves(dtd + channel("<item><guid>g</guid><title>&x;</title></item>").removeprefix('<?xml version="1.0"?>'))
    assert "s3cret" not in str(await look(ctx, peer))


async def test_a_body_that_is_the_name_of_a_file_is_not_opened(ctx, peer, tmp_path):
    feed = tmp_path / "feed.xml"
    feed.write_text(channel("<item><guid>local</guid></item>"))
    for body in (str(feed), feed.as_uri(), peer.url):
        peer.serves(body, "text/plain")
        with pytest.raises(Permanent, match="is not a readable feed"):
            await look(ctx, peer)


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        ("<!doctype html><html><body>hi</body></html>", "text/html", "is a web page, not a feed"),
        (
            '<html><head><link rel="alternate" type="application/rss+xml" href="/feed.xml"></head></html>',
            "text/html",
            r"is a web page. Its feed is at http://127.0.0.1:\d+/feed.xml",
        ),
        ("", "application/rss+xml", "is empty"),
        ("garbage", "text/plain", "is not a readable feed"),
        (b"\x89PNG\r\n\x00\xff" * 100, "image/png", "is not a readable feed"),
        ("{}", "application/json", "not a JSON Feed"),
        ("{", "application/json", "looks like JSON"),
        ('{"version": "https://jsonfeed.org/version/1", "items": 5}', "application/json", "not a JSON Feed"),
        ("[" * 100, "application/json", "is not a readable feed"),
        ('{"a":' * 100_000, "application/json", "looks like JSON"),
    ],
)
async def test_what_is_no_feed_is_named(ctx, peer, body, content_type, said):
    peer.serves(body, content_type, ETag='"x"')
    for _ in range(2):  # the second time too: the ETag must not hide it
        with pytest.raises(Permanent, match=said):
            await look(ctx, peer)


@pytest.mark.parametrize("feed", [channel(), '<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title></feed>'])
async def test_an_empty_feed_is_a_feed(ctx, peer, feed):
    peer.serves(feed)
    assert await look(ctx, peer) == []


async def test_of_a_long_feed_the_newest_are_taken(ctx, peer):
    peer.serves(channel(*(f"<item><guid>{number}</guid></item>" for number in range(1200))))
    assert [event.id for event in await look(ctx, peer)] == [str(number) for number in range(1000)]


async def test_a_huge_feed_is_refused(ctx, peer):
    peer.serves(b"<rss>" + b" " * 50_000_000)
    with pytest.raises(Permanent, match="larger than 10 MB"):
        await look(ctx, peer)


async def test_a_feed_that_takes_too_long_is_given_up(ctx, peer, monkeypatch):
    quick = Decoder(rss._reader._decoder.path, documents, seconds=2, patience=150)
    monkeypatch.setattr(rss._reader, "_decoder", quick)
    peer.serves(channel(f"<item><guid>g</guid><description><![CDATA[{'<!-- ' * 100_000}]]></description></item>"))
    with pytest.raises(Permanent, match="takes more than 2 seconds to read"):
        await look(ctx, peer)


async def test_a_feed_that_a_busy_server_can_not_read_is_tried_again(ctx, peer, monkeypatch):
    slow = Decoder(rss._reader._decoder.path, documents, patience=1, seconds=5)
    monkeypatch.setattr(rss._reader, "_decoder", slow)
    peer.serves(channel(f"<item><guid>g</guid><description><![CDATA[{'<!-- ' * 100_000}]]></description></item>"))
    with pytest.raises(Retry, match="too busy"):
        await look(ctx, peer)
    monkeypatch.undo()
    peer.serves(channel("<item><guid>g</guid></item>"))
    assert len(await look(ctx, peer)) == 1


async def test_a_feed_of_very_many_items_costs_this_process_little(ctx, peer, monkeypatch):
    monkeypatch.setattr(rss._reader, "_decoder", Decoder(rss._reader._decoder.path, documents, patience=150))
    item = "<item><guid>{0}</guid><title>{0}</title><description>&lt;p&gt;{0}&lt;/p&gt;</description></item>"
    peer.serves(channel(*(item.format(number) for number in range(60_000))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with suppress(Permanent):  # on a fast machine it is read in time
        assert len(await look(ctx, peer)) == 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 2


async def test_an_unchanged_feed_is_not_sent_again(ctx, peer):
    peer.serves(channel("<item><guid>g</guid></item>"), ETag='"1"', Last_Modified="Mon, 23 Nov 2026 10:00:00 GMT")
    assert [len(await look(ctx, peer)) for _ in range(3)] == [1, 0, 0]
    assert peer.asked[1]["If-None-Match"] == '"1"'
    assert peer.asked[1]["If-Modified-Since"] == "Mon, 23 Nov 2026 10:00:00 GMT"
    peer.serves(channel("<item><guid>g</guid></item>"))  # the same without an ETag
    assert await look(ctx, peer) == []
    json.dumps(ctx.state)


async def test_each_item_fires_once_and_the_oldest_first(ctx, peer):
    def item(name: str, minutes: int | None) -> str:
        stamp = "" if minutes is None else format_datetime(START - timedelta(minutes=minutes))
        return f"<item><guid>{name}</guid><pubDate>{stamp}</pubDate></item>"

    a, b, c, d, e, f = (
        item("a", 9),
        item("b", 5),
        item("c", 4),
        item("d", 3),
        item("e", None),
        item("f", None),
    )
    seen = Seen(START)
    fired = []
    for number, items in enumerate(([b, a], [b, a], [d, c, b, a], [d, d, c], [f, e, d, c])):
        peer.serves(channel(*items, f"<!-- {number} -->"))
        new, seen = fresh((await look(ctx, peer))[::-1], seen, datetime.now(UTC), None)
        fired.append([event.id for event in new])
    assert fired == [["a", "b"], [], ["c", "d"], [], ["e", "f"]]  # the first is the baseline


@pytest.mark.parametrize("url", ["example.com/feed", "file:///etc/passwd", "ftp://example.com/feed", ""])
def test_wrong_addresses_are_refused(url):
    with pytest.raises(ValidationError):
        new_item.params(url=url)


def test_addresses_of_feed_readers():
    assert new_item.params(url=" feed://example.com/rss ").url == "https://example.com/rss"


def test_fixture_is_what_the_action_returns():
    sample = json.loads(Path(__file__).with_name("fixtures").joinpath("new_item.json").read_text())
    assert set(sample["data"]) == set(Item.model_fields)
    Item.model_validate(sample["data"])


async def test_the_newest_item_is_looked_up(ctx, peer):
    peer.serves(
        channel(
            "<item><title>Old</title><guid>1</guid><pubDate>Mon, 23 Nov 2026 10:00:00 GMT</pubDate></item>",
            "<item><title>New</title><guid>2</guid><pubDate>Tue, 24 Nov 2026 10:00:00 GMT</pubDate></item>",
        )
    )
    newest = await act(ctx, newest_item, url=peer.url)
    assert (newest.found, newest.id, newest.title, newest.feed_title) == (True, "2", "New", "A & B")
    assert newest.published == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert (await act(ctx, newest_item, url=peer.url, title_contains="old")).id == "1"
    await finds_nothing(ctx, newest_item, url=peer.url, title_contains="other")
    peer.serves(channel("<item><title>First</title></item>", "<item><title>Second</title></item>"))
    assert (await act(ctx, newest_item, url=peer.url)).title == "First"
