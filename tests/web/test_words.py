"""The catalog in the reader's language: what is collected, what is missing, and how the pages say it."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from babel.messages.pofile import read_po
from playwright.async_api import expect
from pydantic import BaseModel, Field

from area import connectors
from area.kit import language
from area.registry import Registry, registry
from area.sdk import Context, Event, Service
from area.web import translate
from area.web.parts import offers, pages
from area.web.parts.assets import asset
from tests.web.conftest import arrive


class Shelf(BaseModel):
    """Parameters."""

    max_weight: int = Field(description="At most\n  so many grams", examples=[5])


class Book(BaseModel):
    """What it returns."""

    title: str = Field(description="What is on its cover", examples=["Emma"])


def library() -> Service:
    service = Service("library", "Library", "Books that come and go.")

    @service.poll("A book comes", every=timedelta(minutes=5))
    async def book_comes(ctx: Context, params: Shelf, since) -> AsyncIterator[Event[Book]]:
        """A book is put on a shelf: `late` or not,
        new or old.

        It may be heavy.
        """
        yield Event(id="1", data=Book(title=""))

    return service


def fill(path, **words):
    """Translate in the file what is given: texts by their first word."""
    text = path.read_text("utf-8")
    for first, french in words.items():
        begin = text.index(f'msgid "{first}')
        at = text.index('msgstr ""', begin)
        text = text[:at] + f'msgstr "{french}"' + text[at + len('msgstr ""') :]
    path.write_text(text, "utf-8")


def test_a_connector_is_collected_into_its_folder(tmp_path):
    service, path = library(), tmp_path / "fr.po"
    translate.update_in(service, tmp_path, "fr")
    sentences = list(translate.offered(service))
    assert sentences == [
        "Library",
        "Books that come and go.",
        "A book comes",
        "A book is put on a shelf: `late` or not, new or old.\n\nIt may be heavy.",
        "Max weight",
        "At most so many grams",
        "What is on its cover",
    ]
    waiting = list(translate.missing_in(service, tmp_path, "fr"))
    assert len(waiting) == len(sentences) - 1, "the name may stay as it is"
    fill(path, Books="Des livres.", Max="Poids maximal")
    service.actions["book_comes"].title = "A book arrives"
    translate.update_in(service, tmp_path, "fr")
    text = path.read_text("utf-8")
    assert "Des livres." in text, "what is translated stays"
    assert "A book comes" not in text, "what is gone is left out"
    fill(path, **{"A book arrives": "Un livre arrive", "At": "Au plus", "What": "Le titre"})
    path.write_text(
        text := path.read_text("utf-8").replace(
            '"It may be heavy."\nmsgstr ""', '"It may be heavy."\nmsgstr "`tard` ou pas."'
        )
    )
    assert list(translate.missing_in(service, tmp_path, "fr")) == [
        f"{sentences[3]!r}: `code` is not the same in the translation"
    ]
    path.write_text(text.replace("`tard`", "`late`"))
    assert not list(translate.missing_in(service, tmp_path, "fr"))
    say = language.words("fr", tmp_path)
    assert say("At most\n  so many   grams") == "Au plus"
    assert say("Library") == "Library"
    assert say("") == ""
    assert say("Timezone") == "Fuseau horaire", "the platform's own words"


def test_what_a_vendor_says_by_the_hundreds_is_left_out():
    service = library()
    service.actions["book_comes"].translated = False
    assert list(translate.offered(service)) == ["Library", "Books that come and go."]


def test_a_package_without_translations_speaks_english(tmp_path):
    say = language.words("fr", tmp_path)
    assert say(" A book\n comes. ") == "A book comes."
    assert language.words("en", registry().folders["rss"])("New item in a feed") == "New item in a feed"


def test_the_command_writes_the_named_connector_only(tmp_path, capsys):
    loaded = Registry()
    loaded.add(library(), tmp_path)
    before = (language.LOCALES / "fr.po").read_bytes()
    translate.main(loaded, ["library"])
    assert "6 of library wait" in capsys.readouterr().out
    assert (tmp_path / "fr.po").is_file()
    assert (language.LOCALES / "fr.po").read_bytes() == before


# a connector without translations speaks English
BUILT_IN = [
    slug
    for slug, folder in registry().folders.items()
    if str(folder.parent) in connectors.__path__ and list(folder.glob("*.po"))
]


@pytest.mark.parametrize("lang", translate.OTHERS)
@pytest.mark.parametrize("slug", BUILT_IN)
def test_every_connector_is_translated(slug, lang):
    folder = registry().folders[slug]
    waiting = list(translate.missing_in(registry().services[slug], folder, lang))
    assert not waiting, f"`make translations` brings {folder / f'{lang}.po'} up to date: {waiting}"


@pytest.mark.parametrize("lang", translate.OTHERS)
def test_the_platforms_sentences_are_translated_and_no_others(lang):
    assert list(translate.missing(lang)) == []
    path = language.LOCALES / f"{lang}.po"
    with path.open("rb") as file:
        known = {message.id for message in read_po(file, locale=lang) if message.id}
    assert known - {message.id for message in translate.sentences()} == set(), "run `make translations`"


@pytest.mark.parametrize("lang", translate.OTHERS)
def test_no_file_would_change(lang, tmp_path):
    for service in (registry().services[slug] for slug in BUILT_IN):
        path = registry().folders[service.slug] / f"{lang}.po"
        (tmp_path / path.name).write_bytes(path.read_bytes())
        translate.update_in(service, tmp_path, lang)
        assert (tmp_path / path.name).read_text() == path.read_text(), "run `make translations`"


async def test_the_editor_in_french(server, browser, root):
    person = await arrive(server, browser, locale="fr-FR")
    page = person.page
    await person.go("/areas/new")
    tiles = page.locator("#picker-action .tiles")
    await expect(tiles.get_by_role("button", name="Météo")).to_be_visible()
    find = page.get_by_label("Chercher une action")
    for words in ("meteo pluie", "weather rain", "open_meteo.rain"):  # without accents, in English, by the key
        await find.fill(words)
        await expect(page.locator("#found-action .found b").first).to_have_text("De la pluie est prévue")
    await page.locator("#found-action .found button").first.click()
    await expect(page.locator("#chosen-action")).to_contain_text("Météo · De la pluie ou de la neige est annoncée")
    await page.get_by_role("textbox", name="Lieu", exact=False).fill("Rennes")
    await expect(page.get_by_text("Nom, avec la région ou le pays au besoin")).to_be_visible()
    await page.locator("#part-action summary", has_text="Plus d").click()
    units = page.get_by_role("combobox", name="Unités")
    await expect(units.locator("option")).to_have_text(["métriques (par défaut)", "américaines"])
    await units.select_option("us")  # what is read is translated, not what is kept
    find = page.get_by_label("Chercher une réaction")
    await find.fill("boite")
    await page.locator("#found-reaction .found button").first.click()
    await page.get_by_role("textbox", name="Titre").fill("Parapluie !")
    await expect(page.locator(".filled dt")).to_have_text(["Titre"])
    name = "De la pluie est prévue → Publier une notification dans votre boîte de réception"
    await expect(page.get_by_role("textbox", name="Nom", exact=True)).to_have_value(name)
    await page.get_by_role("button", name="Enregistrer", exact=True).click()
    await expect(page.locator("h1")).to_have_text(name)
    await expect(page.locator(".sentence")).to_contain_text("Si de la pluie est prévue (Rennes), alors publier une")
    await expect(page.locator("dl.params dt").first).to_contain_text("Lieu")
    (area,) = (await person.api("GET", "/api/areas"))["items"]
    assert area["action"]["parameters"] == {"place": "Rennes", "units": "us"}
    assert area["action"]["title"] == "Rain expected", "the API stays English"
    await person.go("/")
    await expect(page.locator(".area-card")).to_contain_text("de la pluie est prévue")
    await expect(page.get_by_role("combobox", name="Service").locator("option")).to_have_text(
        ["Tous les services", "Boîte de réception", "Météo"]
    )
    await person.context.close()
    assert not person.complaints


def test_templates_say_their_constants_as_gettext_would():
    environment = pages.environment("fr")
    rendered = environment.from_string(
        "{{ _('Home') }} {{ _('%(name)s is on', name=x) }} {{ _(y) }} {{ asset('app.css') }}"
    )
    assert rendered.render(x="<b>", y="Home") == f"Accueil Activer &lt;b&gt; Accueil {asset('app.css')}"
    assert "gettext" not in environment.compile("{{ _('Home') }}", raw=True)
    assert "Accueil" in environment.compile("{{ _('Home') }}", raw=True)


async def test_services_and_help_in_french(server, browser, root):
    person = await arrive(server, browser, locale="fr-FR")
    page = person.page
    await person.go("/services")
    names = await page.locator(".service-card h2").all_inner_texts()
    assert names == sorted(names, key=lambda name: name.casefold().replace("é", "e"))
    await page.get_by_role("searchbox").fill("meteo")
    await expect(page.locator(".service-card")).to_have_count(1)
    await expect(page.locator(".service-card")).to_contain_text("La température franchit un seuil")
    await person.go("/services/mqtt")
    await expect(page.get_by_label(re.compile("hôte ou adresse du broker"))).to_be_visible()
    await expect(page.get_by_text("3.1.1 pour les brokers plus anciens")).to_be_visible()
    await person.go("/help/wikipedia")
    await expect(page.locator("h1")).to_have_text("Wikipédia")
    await expect(page.get_by_role("link", name="image du jour")).to_be_visible()
    await person.context.close()
    assert not person.complaints


async def test_the_editors_errors_in_french(server, browser, root):
    person = await arrive(server, browser, locale="fr-FR", timezone_id="Europe/Paris")
    page = person.page
    await person.go("/areas/new?action=timer.weekly_timer")
    await page.get_by_label("Chercher une réaction").fill("notification boite")
    await page.locator("#found-reaction .found button").first.click()
    await page.get_by_role("textbox", name="Titre").fill("{{titel}}")
    await page.locator("[name='r.delay']").evaluate("field => (field.closest('details').open = true)")
    await page.locator("[name='r.delay']").fill("8 heures 30")
    await page.get_by_role("button", name="Enregistrer", exact=True).click()
    errors = page.locator("#errors")
    await expect(errors).to_contain_text("Ce champ est obligatoire.")
    text = (await errors.inner_text()).replace("\u00a0", " ")
    for english in ("required", "There is no", "no unit", "is no", "Write"):
        assert english not in text, text
    days = page.locator(".many")
    await expect(days.locator("label")).to_have_text(["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."])
    for day in ("lun.", "ven."):
        await days.get_by_label(day, exact=True).check()
    await page.get_by_label("Heure").first.fill("08:30")
    await page.get_by_role("textbox", name="Titre").fill("Bonjour")
    await page.locator("[name='r.delay']").fill("18:00")
    await page.get_by_role("button", name="Enregistrer", exact=True).click()
    await expect(page).to_have_url(re.compile(r"/areas/\d+$"))
    (area,) = (await person.api("GET", "/api/areas"))["items"]
    assert area["action"]["parameters"]["days"] == "monday, friday"
    await expect(page.locator("dl.params").first).to_contain_text("lun., ven.")
    await person.go(f"/areas/{area['id']}/edit")
    await expect(page.locator(".many-item input:checked")).to_have_count(2)
    assert (await person.context.request.get(f"{server.url}/areas/999999")).status == 404
    await person.go("/areas/999999")
    await expect(page.get_by_text(re.compile("AREA 999999 n.existe pas"))).to_be_visible()
    await person.context.close()


@pytest.mark.parametrize(
    ("name", "description", "choices", "more"),
    [
        ("body", "Text", None, False),
        ("method", "HTTP method", ["GET"], False),
        ("level", "Level: info, success, warning or error", ["info", "success", "warning", "error"], False),
        ("kind", "Files, folders, or both", ["files", "folders", "both"], False),
        ("timezone", "Time zone", None, False),
        ("html", "HTML text", None, False),
        ("format", "Format of the text", ["text", "html"], False),
        ("channel", "Channel ID", None, True),
        ("text", "Text, in Markdown", None, True),
        ("priority", "Priority; p1 is the most urgent", ["p1", "p2"], True),
    ],
)
def test_a_hint_says_more_than_its_label(name, description, choices, more):
    assert offers.says_more(name, description, choices) is more
