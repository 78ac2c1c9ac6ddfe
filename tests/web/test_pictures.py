"""Pictures: what is refused, that hostile ones cost little, and that nobody else waits for them."""

import asyncio
import io
import resource

import pytest
from PIL import Image

from area.accounts import picture, pictures
from area.kit.fair import Full, working_for
from area.kit.problems import Invalid, TooMany
from area.kit.sandbox import DecodeError, Decoder


def made(size, kind="JPEG", mode="RGB", **options):
    file = io.BytesIO()
    quick = {"lossless": True, "quality": 0, "method": 0} if kind == "WEBP" else {}
    Image.new(mode, size, "#c0392b" if mode == "RGB" else None).save(file, kind, **quick, **options)
    return file.getvalue()


def many_scans(size, times):
    """A progressive JPEG whose last scan is repeated."""
    content = made((size, size), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * times + content[-2:]


async def refused(content):
    with pytest.raises(Invalid) as error:
        await pictures.shrink(content)
    return error.value.errors[0]["message"]


async def ticks_during(work):
    """The result, how often the event loop came around meanwhile, and the seconds that this process computed."""
    count = 0

    async def tick():
        nonlocal count
        while True:
            await asyncio.sleep(0.001)
            count += 1

    ticking, before = asyncio.create_task(tick()), resource.getrusage(resource.RUSAGE_SELF)
    try:
        result = await work
    finally:
        ticking.cancel()
    return result, count, resource.getrusage(resource.RUSAGE_SELF).ru_utime - before.ru_utime


def test_scans_are_counted_but_not_those_of_thumbnails_and_films():
    assert picture.scans(made((64, 64))) == 1
    assert picture.scans(made((64, 64), progressive=True)) == 10
    exif = Image.Exif()
    exif[0x010E] = "\xff\xda".encode("latin-1") * 200
    assert picture.scans(made((64, 64), exif=exif.tobytes())) == 1
    assert picture.scans(made((64, 64)) + b"\xff\xda" * 200) == 1
    assert picture.scans(many_scans(64, 91)) == 100


async def test_a_jpeg_of_a_thousand_scans_is_refused_before_it_is_decoded():
    attack = many_scans(6300, 1000)
    quick = Decoder(pictures.decoder.path, pictures.decoder.pool, seconds=1)
    with pytest.raises(DecodeError, match="scans"):
        await quick.decode(attack)
    assert "takes too long to process" in await refused(attack)


async def test_one_that_takes_too_long_is_ended_while_the_loop_stays_free(monkeypatch):
    attack = many_scans(6300, 90)
    monkeypatch.setattr(
        pictures, "decoder", Decoder(pictures.decoder.path, pictures.decoder.pool, seconds=1, patience=150)
    )
    sentence, ticks, computed = await ticks_during(refused(attack))
    assert sentence == "This picture takes too long to process. Save it again as PNG or JPEG and upload that."
    assert ticks > 50
    assert computed < 1


@pytest.mark.parametrize(
    ("size", "kind", "mode", "sentence"),
    [
        ((10_001, 10), "JPEG", "RGB", "more than 10,000 pixels wide or high"),
        ((6400, 6400), "PNG", "1", "too many pixels"),
        ((5100, 5000), "WEBP", "RGB", "too many pixels"),
    ],
    ids=["side", "pixels", "webp"],
)
async def test_what_is_too_large_is_refused(size, kind, mode, sentence):
    assert sentence in await refused(made(size, kind, mode))


async def test_nothing_is_no_picture():
    assert "can't read this picture" in await refused(b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
async def test_large_pictures_of_every_mode_are_made_small(mode):
    with Image.open(io.BytesIO(await pictures.decoder.decode(made((6300, 6300), "PNG", mode)))) as image:
        assert (image.format, image.size) == ("WEBP", (256, 256))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_large_picture_is_turned_upright(kind):
    image = Image.new("RGB", (2000, 2000), "red")
    image.paste("blue", (0, 0, 2000, 1000))
    exif = Image.Exif()
    exif[0x0112] = 3  # by 180°
    file = io.BytesIO()
    image.save(file, kind, exif=exif.tobytes())
    with Image.open(io.BytesIO(await pictures.decoder.decode(file.getvalue()))) as decoded:
        red, _, blue = decoded.convert("RGB").getpixel((128, 20))
    assert red > 200
    assert blue < 100


async def test_another_user_does_not_wait_for_ones_many_uploads():
    attack, ours = many_scans(6300, 90), made((64, 64), "PNG")
    with working_for("user 1"):
        uploads = [asyncio.create_task(pictures.decoder.decode(attack)) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with working_for("user 2"):
        assert await pictures.decoder.decode(ours)
    assert not uploads[0].done()  # still at work
    for upload in uploads:
        upload.cancel()
    ended = await asyncio.gather(*uploads, return_exceptions=True)
    assert sum(isinstance(outcome, Full) for outcome in ended) == 8
    assert isinstance(ended[9], TooMany)
