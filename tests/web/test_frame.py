"""What holds for all pages: who may send what, where `next` leads, languages, headers, files, and going without a
network.
"""

import gzip
import re
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from area.doors import browser
from area.kit import language
from area.web import translate
from area.web.parts import assets
from tests.web.conftest import PASSWORD, arrive, make_root

web = Path(translate.__file__).parent


@pytest_asyncio.fixture
async def http(server, browser):
    await make_root(server, browser)
    async with aiohttp.ClientSession(server.url, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},  # no browser of this decade says nothing
    ],
)
@pytest.mark.parametrize("path", ["/areas/1/switch", "/areas/bulk", "/sign-out"])
async def test_a_foreign_page_changes_nothing(http, mine, headers, path):
    async with http.post(path, data={"on": "0", "do": "delete"}, headers={"Cookie": mine, **headers}) as answer:
        assert answer.status == 403
    async with http.get("/", headers={"Cookie": mine}, allow_redirects=False) as answer:
        assert answer.status == 200  # still signed in


@pytest_asyncio.fixture(scope="module")
async def mine(server, browser) -> str:
    """The cookie of a session of the administrator's."""
    await make_root(server, browser)
    form = {"login": "root", "password": PASSWORD}
    same = {"Sec-Fetch-Site": "same-origin"}
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.post("/sign-in", data=form, headers=same, allow_redirects=False) as answer,
    ):
        assert answer.status == 303, await answer.text()
        cookie = answer.headers.getall("Set-Cookie")[0]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    return cookie.partition(";")[0]


async def test_nobody_is_led_to_sign_in_and_htmx_is_told(http):
    async with http.get("/runs?status=failed", allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/sign-in?next=/runs%3Fstatus%3Dfailed"
    async with http.post("/areas/1/switch", headers={"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}) as answer:
        assert answer.status == 401
        assert b"data-problem" in await answer.read()


async def test_every_answer_forbids_what_is_not_ours(http):
    for path in ("/sign-in", "/offline", "/nothing/here"):
        async with http.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert not re.search(r"https?:", policy)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Strict-Transport-Security" not in answer.headers  # its public address is plain http


async def test_pages_go_compressed_and_files_for_ever(http):
    async with http.get("/sign-in", headers={"Accept-Encoding": "gzip"}) as answer:
        page = gzip.decompress(await answer.read()).decode()
        assert answer.headers["Content-Encoding"] == "gzip"
    async with http.get("/sign-in", headers={"Accept-Encoding": "identity"}) as answer:
        assert "Content-Encoding" not in answer.headers
    for address in set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page)):
        async with http.get(address, headers={"Accept-Encoding": "br, gzip"}) as answer:
            assert answer.status == 200, address
            assert "immutable" in answer.headers["Cache-Control"]
        async with http.head(address) as answer:
            assert answer.status == 200
            assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "path",
    ["/static/x/nothing.js", "/static/../settings.py", "/static/x/static/%2e%2e/home.py", "/static/x/", "/static"],
)
async def test_no_other_file_is_served(http, path):
    async with http.get(path, skip_auto_headers=()) as answer:
        assert answer.status == 404


async def test_it_can_be_installed(http):
    async with http.get("/manifest.webmanifest") as answer:
        manifest = await answer.json(content_type=None)
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        async with http.get(icon["src"]) as answer:
            assert answer.content_type == "image/png"
    async with http.get("/service-worker.js") as answer:
        script = await answer.text()
    for path in re.findall(r'"(/[^"]+)"', script.partition("];")[0]):
        async with http.get(path) as answer:
            assert answer.status == 200, path


async def test_without_a_network_there_is_a_page_that_says_so(person):
    await person.go("/")
    await person.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    await person.page.reload()  # so that the worker has the page
    await person.context.set_offline(True)
    await person.page.goto(f"{person.server.url}/")
    await person.page.get_by_role("heading", name="No connection").wait_for()
    await person.context.set_offline(False)
    person.complaints.clear()  # of the stream that was cut off


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("/areas/1?x=2", "/areas/1?x=2"),
        ("", "/"),
        (None, "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\tevil", "/"),
        ("areas", "/"),
    ],
)
def test_where_next_leads(address, leads):
    assert browser.local(address) == leads


@pytest.mark.parametrize(
    ("chosen", "accepted", "spoken"),
    [
        ("fr", "en", "fr"),
        (None, "fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        (None, "en;q=0.5, fr;q=0.9", "fr"),
        (None, "de, fr;q=0", "en"),
        (None, "de-DE,de", "en"),
        (None, "", "en"),
        (None, "fr;q=2, ;;;,\x00", "en"),
        ("xx", "fr", "fr"),
    ],
)
def test_which_language_is_spoken(chosen, accepted, spoken):
    assert language.choose(chosen, accepted) == spoken


@pytest.mark.parametrize("lang", [name for name in language.NAMES if name != "en"])
def test_everything_is_translated(lang):
    assert list(translate.missing(lang)) == []


def test_a_file_that_is_not_there_is_an_error_at_once():
    with pytest.raises(LookupError, match=r"hatch_build\.py"):
        assets.asset("nothing.js")


async def test_in_french(server, browser, http):
    person = await arrive(server, browser, locale="fr-FR")
    await person.go("/")
    assert await person.page.locator("html").get_attribute("lang") == "fr"
    assert await person.page.locator("h1").inner_text() == "Votre première AREA"
    await person.context.close()
    assert not person.complaints


async def test_who_wants_no_motion_waits_for_none(person):
    """A transition that ends at once is one all the same: for each element and colour, a second of work for a new
    theme.
    """
    await person.go("/services")
    begun = "name => { setTheme(name); return document.getAnimations().length; }"
    for theme in ("dark", "light"):
        assert await person.page.evaluate(begun, theme) == 0


def test_no_script_takes_a_name_of_another():
    """Scripts of a page share their names, and the later function silently replaces the earlier; modules keep theirs."""
    pages = "".join(page.read_text() for page in web.rglob("*.html"))
    modules = set(re.findall(r"<script type=\"module\" src=\"{{ asset\('([^']+)'\) }}", pages))
    owners: dict[str, str] = {}
    for script in sorted((web / "static").glob("*.js")):
        if script.name in modules:
            continue
        declared = re.findall(r"^(?:async )?(?:function\*?|const|let|class) +(\w+)", script.read_text(), re.MULTILINE)
        for name in declared:
            assert owners.setdefault(name, script.name) == script.name, (
                f"{name} is declared by {script.name} and {owners[name]}"
            )
    assert "passkeys.js" in modules
    assert owners["ask"] == "app.js"
