"""An animated rendition: every frame, as a person sees it, for as long and as often as the original shows it."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import GifImagePlugin, Image, ImageChops, ImageDraw, ImageStat

from benchmarks.process import in_new_process
from darkroom.local.pictures import encoded
from functions.imaging import Limits, Target, animation, examine, formats, render
from tests.functions.imaging.test_examine import png_chunk
from tests.functions.imaging.verdicts import rejected

SIZE = 96, 64
TIMES = [40, 200, 70, 500]  # milliseconds
COLOURS = ["#c03020", "#20a040", "#3050d0", "#e0c020"]
LIMITS = Limits(10**7, 10**6)


def drawn(number, *, background="#808890"):
    """A square of its own colour at a place of its own."""
    frame = Image.new("RGBA", SIZE, background)
    ImageDraw.Draw(frame).rectangle((8 + number * 20, 16, 24 + number * 20, 48), fill=COLOURS[number])
    return frame


def moving(form, *, frames=None, times=TIMES, **options):
    first, *others = frames or [drawn(number) for number in range(4)]
    file = BytesIO()
    first.save(file, form, save_all=True, append_images=others, duration=times, **options)
    return file.getvalue()


FILES = {
    "gif": moving("GIF", loop=0),
    "png": moving("PNG", loop=0),
    "webp": moving("WEBP", loop=0, lossless=True),
    "avif": moving("AVIF", quality=95, speed=10),
}


def shown(data):
    """The frames, and how long each is shown."""
    frames, times = [], []
    with Image.open(BytesIO(data)) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            frames.append(picture.convert("RGBA"))
            times.append(picture.info.get("duration"))
    return frames, times


def differ(one, other):
    """The mean difference of what is seen of them, on a background, in 255ths."""
    seen = [Image.alpha_composite(Image.new("RGBA", SIZE, "#40f0a0").resize(one.size), frame) for frame in (one, other)]
    difference = ImageChops.difference(*(frame.convert("RGB") for frame in seen))
    return max(ImageStat.Stat(difference).mean)


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_kept_for_as_long(name):
    rendered = render(FILES[name], Target("webp", 48, 32, animated=True, quality=95))
    frames, times = shown(rendered.data)
    assert times == TIMES
    assert (rendered.width, rendered.height) == frames[0].size == (48, 32)
    for number, frame in enumerate(frames):
        assert differ(frame, drawn(number).resize((48, 32), Image.Resampling.BOX)) < 5


@pytest.mark.parametrize(
    ("data", "plays"),
    [
        (moving("GIF", loop=0), 0),
        (moving("GIF", loop=2), 3),  # so often it is repeated
        (moving("GIF"), 1),
        (moving("PNG", loop=0), 0),
        (moving("PNG", loop=2), 2),
        (moving("WEBP", loop=7), 7),
        (FILES["avif"], 0),
    ],
)
def test_it_is_shown_as_often(data, plays):
    with Image.open(BytesIO(render(data, Target("webp", 48, 32, animated=True)).data)) as picture:
        assert picture.info["loop"] == plays


KEEP, BACKGROUND, PREVIOUS = range(3)  # what a frame leaves behind, as APNG counts


def place(number):
    return 8 + number * 20, 16


def square(number):
    return drawn(number).crop((*place(number), place(number)[0] + 17, place(number)[1] + 33))


def gif_of_squares(leaving, moved=(0, 0)):
    """A whole frame, then three squares, and what each leaves behind. GIF counts from 1. A colour of each square, which
    it does not have, is transparent: without one, libvips and ffmpeg show the background's colour where browsers show
    nothing."""
    whole = drawn(0).convert("RGB").quantize(8)
    parts = [b"".join(GifImagePlugin.getheader(whole)[0]), *GifImagePlugin.getdata(whole, duration=40, disposal=1)]
    for number, left in enumerate(leaving, 1):
        patch = square(number).convert("RGB").quantize(2)
        options = {"duration": 40, "disposal": left + 1, "transparency": 1, "include_color_table": True}
        across, down = place(number)
        parts += GifImagePlugin.getdata(patch, (across + moved[0], down + moved[1]), **options)
    return b"".join([*parts, b";"])


def png_of_squares(leaving, *, pixels=square, blends=True, delay=(40, 1000), hidden=False):
    """The same. `hidden`: the whole frame is no part of the animation, so that the squares come over nothing."""

    def control(sequence, size, at, leaves):
        numbers = sequence, *size, *at, *delay, leaves, blends
        return png_chunk(b"fcTL", struct.pack(">5I2H2B", *numbers))

    def packed(frame):
        rows = frame.tobytes()
        width = frame.width * 4
        return zlib.compress(b"".join(b"\0" + rows[at : at + width] for at in range(0, len(rows), width)))

    parts = [
        b"\x89PNG\r\n\x1a\n",
        png_chunk(b"IHDR", struct.pack(">2I5B", *SIZE, 8, 6, 0, 0, 0)),
        png_chunk(b"acTL", struct.pack(">2I", 4 - hidden, 0)),
        b"" if hidden else control(0, SIZE, (0, 0), KEEP),
        png_chunk(b"IDAT", packed(drawn(0))),
    ]
    sequence = 0 if hidden else 1
    for number, left in enumerate(leaving, 1):
        parts.append(control(sequence, square(number).size, place(number), left))
        parts.append(png_chunk(b"fdAT", struct.pack(">I", sequence + 1) + packed(pixels(number))))
        sequence += 2
    return b"".join([*parts, png_chunk(b"IEND", b"")])


@pytest.mark.parametrize("written", [gif_of_squares, png_of_squares])
@pytest.mark.parametrize("left", [KEEP, BACKGROUND, PREVIOUS])
def test_what_a_frame_leaves_behind_is_shown_as_the_file_says(written, left):
    """It stays, becomes transparent, or what was there before comes back."""
    frames, _ = shown(render(written([left] * 3), Target("webp", *SIZE, animated=True, quality=100)).data)
    under = drawn(0)
    assert differ(frames[0], under) < 4
    for number, frame in enumerate(frames[1:], 1):
        canvas = under.copy()
        canvas.paste(square(number), place(number))
        assert differ(frame, canvas) < 4
        if left == KEEP:
            under = canvas
        elif left == BACKGROUND:
            under.paste((0, 0, 0, 0), (*place(number), place(number)[0] + 17, place(number)[1] + 33))


def test_what_no_frame_of_a_webp_covers_is_transparent():
    """In the first frame too, where that is shown alone. libwebp has not said that there is alpha."""
    data = moving("WEBP", frames=[drawn(number, background=(0, 0, 0, 0)) for number in range(4)], minimize_size=True)
    assert data[20] & 0x10 == 0
    assert examine(data, LIMITS).metadata["has_alpha"]
    opaque = moving("WEBP", frames=[drawn(number).convert("RGB") for number in range(4)])
    assert not examine(opaque, LIMITS).metadata["has_alpha"]
    at = data.index(b"ANMF")
    of_one_frame = data[: at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")]
    for file, animated, count in ((data, False, 1), (data, True, 4), (of_one_frame, True, 1)):
        frames, _ = shown(render(file, Target("webp", *SIZE, animated=animated)).data)
        assert [frame.getpixel((2, 2))[3] for frame in frames] == [0] * count


def test_a_first_picture_that_is_no_part_of_it_is_not_shown():
    """Programs that know no animated PNG show that."""
    frames, times = shown(render(png_of_squares([KEEP] * 3, hidden=True), Target("webp", *SIZE, animated=True)).data)
    assert times == [40] * 3
    canvas = Image.new("RGBA", SIZE)
    for number, frame in enumerate(frames, 1):
        canvas.paste(square(number), place(number))
        assert differ(frame, canvas) < 4


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_transparency_is_kept(form):
    frames = [drawn(number, background=(10, 20, 30, 0)) for number in range(4)]
    options = {"disposal": 2} if form == "GIF" else {"disposal": 1} if form == "PNG" else {"lossless": True}
    made, _ = shown(render(moving(form, frames=frames, **options), Target("webp", *SIZE, animated=True)).data)
    for number, frame in enumerate(made):
        assert frame.getpixel((2, 2))[3] == 0
        assert frame.getpixel((16 + number * 20, 32))[3] == 255


def test_each_frame_is_cut_and_turned_as_the_first_one_is():
    """A portrait, stored on its side: its upper end is kept of every frame."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = moving("WEBP", lossless=True, exif=exif.tobytes())
    frames, _ = shown(render(data, Target("webp", 64, 64, "cover", animated=True, focus=(0.5, 0.0), quality=95)).data)
    for number, frame in enumerate(frames):
        upright = drawn(number).transpose(Image.Transpose.ROTATE_270)
        assert differ(frame, upright.crop((0, 0, 64, 64))) < 5


@pytest.mark.parametrize("name", ["gif", "png"])
def test_a_frame_that_cannot_be_decoded_ends_it(name):
    """As browsers do. Of what has no second frame, the first one is made as ever."""
    data = FILES[name]
    whole = len(shown(render(data, Target("webp", 48, 32, animated=True)).data)[0])
    counts = []
    for part in range(len(data) * 6 // 10, len(data), 7):
        frames, _ = shown(render(data[:part], Target("webp", 48, 32, animated=True)).data)
        counts.append(len(frames))
    assert counts == sorted(counts)
    assert 1 <= counts[0] < whole


@pytest.mark.parametrize("fault", [MemoryError(), OSError("out of memory when reading image file")])
def test_a_frame_that_lacks_memory_fails_it(monkeypatch, fault):
    """It is tried again. A rendition with fewer frames than there are would stay."""
    loaded = []

    def load(picture):
        loaded.append(picture)
        if len(loaded) == 3:
            raise fault
        return formats.load(picture)

    monkeypatch.setattr(animation, "load", load)
    with pytest.raises(type(fault)):
        render(FILES["gif"], Target("webp", 48, 32, animated=True))
    assert len(loaded) == 3


def test_a_frame_of_a_gif_that_would_be_a_blur_is_shown_as_long_as_browsers_show_it():
    """In WebP not every program does that."""
    data = moving("GIF", times=[0, 10, 20, 500])
    assert shown(render(data, Target("webp", 48, 32, animated=True)).data)[1] == [100, 100, 20, 500]


def test_what_is_shown_for_longer_than_a_webp_can_say_is_shown_as_long_as_it_can():
    """18 hours a frame become 4.7, and many of them no more than 25 days."""
    _, times = shown(render(png_of_squares([KEEP] * 3, delay=(65535, 1)), Target("webp", 48, 32, animated=True)).data)
    assert times == [(1 << 24) - 1] * 4
    many = ((Image.new("RGB", (8, 8), (number, 0, 255 - number)), 1e9) for number in range(200))
    _, times = shown(animation.encoded(many, 0, 50, 4))
    assert sum(times) == (1 << 31) - 1


@pytest.mark.parametrize(("side", "effort"), [(1023, 4), (1024, 2)])
def test_large_frames_are_written_with_less_effort(side, effort):
    frames = [drawn(number).convert("RGB").resize((side, side)) for number in range(2)]
    data = moving("PNG", frames=frames, times=[40, 200], loop=0)
    made = animation.encoded(zip(frames, [40.0, 200.0], strict=True), 0, 80, effort)
    assert render(data, Target("webp", side, side, animated=True, quality=80)).data == made


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_a_still_picture_stays_one(form):
    data = encoded(drawn(0).convert("RGB"), form)
    still, asked = (render(data, Target("webp", 48, 32, animated=animated)) for animated in (False, True))
    assert asked.data == still.data


def test_without_it_the_first_frame_is_shown():
    frames, _ = shown(render(FILES["gif"], Target("webp", 48, 32)).data)
    assert len(frames) == 1


def test_too_many_pixels_in_all_frames_are_named_with_the_limit():
    """Only where a rendition has them all."""
    assert examine(FILES["gif"], LIMITS).frames == 4
    exactly = 4 * SIZE[0] * SIZE[1]
    assert examine(FILES["gif"], Limits(10**7, 10**6, max_animated_pixels=exactly)).frames == 4
    assert rejected(FILES["gif"], Limits(10**7, 10**6, max_animated_pixels=20_000)) == (
        "too_many_pixels",
        "4 frames of 96x64 = 0.0 MP, limit 0.02 MP",
    )
    pages = encoded(drawn(0).convert("RGB"), "TIFF", save_all=True, append_images=[drawn(1).convert("RGB")] * 9)
    assert examine(pages, Limits(10**7, 10**6, max_animated_pixels=20_000)).frames == 10


def test_many_small_frames_count_for_what_they_take():
    """100,000 frames of one pixel would take Resize 40 s."""
    one = moving("GIF", frames=[Image.new("RGB", (1, 1), colour) for colour in COLOURS])
    exactly = 4 * 4096
    assert examine(one, Limits(10**7, 10**6, max_animated_pixels=exactly)).frames == 4
    assert rejected(one, Limits(10**7, 10**6, max_animated_pixels=exactly - 1)) == (
        "too_many_pixels",
        "4 frames of 1x1 that count as 4,096 pixels each = 0.0 MP, limit 0.016383 MP",
    )


def make(path: str) -> None:
    from functions.imaging import Target, render

    render(Path(path).read_bytes(), Target("webp", 64, 64, animated=True))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, form):
    """A frame has a megabyte: held, 60 of them would take 60 more than 4 do."""
    peaks = []
    for count in (4, 60):
        frames = [Image.new("RGBA", (512, 512), (number * 4, 90, 120, 255)) for number in range(count)]
        file = tmp_path / f"{count}.{form.lower()}"
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=40, lossless=True)
        peaks.append(in_new_process(make, str(file)).peak)
    assert peaks[1] - peaks[0] < 10
