"""Colours that a file only names by numbers: wide ones, and those of HDR, as a screen without it can show them."""

import struct

import pytest
from PIL import Image

from darkroom.local.pictures import encoded, landscape, with_chunk
from functions.imaging import Limits, Target, examine, render
from functions.imaging.code_points import hlg, pq, profile, toned
from tests.functions.imaging.test_render import opened

BT709, BT2020, P3, PQ, HLG = 1, 9, 12, 16, 18

# BT.2020 to BT.709 in light, ITU-R BT.2087: the inverse of its table.
BT2020_TO_BT709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))


def shown(colour, primaries, transfer):
    """What a PNG of that colour and these numbers looks like."""
    data = with_chunk(encoded(Image.new("RGB", (32, 32), colour), "PNG"), b"cICP", bytes([primaries, transfer, 0, 1]))
    return opened(render(data, Target("png", 16, 16))).convert("RGB").getpixel((8, 8))


def coded(light):
    light = min(1.0, max(0.0, light))
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


def grey_of_hlg(signal):
    return hlg((signal,) * 3, (0.2627, 0.678, 0.0593))[0]


# Table 4 of BT.2100, and BT.2408, table 1: signal levels of a white that is diffuse, and of grey cards.
@pytest.mark.parametrize(
    ("signal", "light"), [(0, 0), (0.38, 26), (0.58, 203), (0.7518, 1000), (0.5081, 100), (1, 10_000)]
)
def test_pq_means_light(signal, light):
    assert pq(signal) == pytest.approx(light, rel=0.03, abs=0.01)


@pytest.mark.parametrize(("signal", "light"), [(0, 0), (0.38, 26), (0.75, 203), (1, 1000)])
def test_hlg_means_light_on_a_screen_of_a_thousand(signal, light):
    assert grey_of_hlg(signal) == pytest.approx(light, rel=0.03, abs=0.01)


def test_what_is_dark_stays_and_what_is_bright_is_pressed_together():
    """Up to 94 cd/m2, the knee, light is what it is; then ever less of it counts; what is brightest is white."""
    lights = range(0, 1200, 3)
    tones = [toned(light) for light in lights]
    assert tones == sorted(tones)
    for light, tone in zip(lights, tones, strict=True):
        if light <= 90:
            assert tone == pytest.approx(light / 203, rel=0.01)
        else:
            assert tone < light / 203
    assert toned(203) == pytest.approx(0.78, abs=0.01)
    assert toned(1000) == toned(4000) == pytest.approx(1)


@pytest.mark.parametrize(("transfer", "light"), [(PQ, pq), (HLG, grey_of_hlg)])
@pytest.mark.parametrize("primaries", [BT709, BT2020, P3])
@pytest.mark.parametrize("grey", [0, 40, 97, 148, 191, 230, 255])
def test_a_grey_is_shown_as_its_light_says(primaries, transfer, light, grey):
    expected = coded(toned(light(grey / 255)))
    assert all(abs(channel - expected) <= 2 for channel in shown((grey,) * 3, primaries, transfer))


@pytest.mark.parametrize(("colour"), [(200, 120, 90), (60, 180, 80), (90, 90, 200), (250, 240, 200)])
def test_bt2020_is_converted_as_its_primaries_say(colour):
    light = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour]
    expected = [coded(sum(part * one for part, one in zip(row, light, strict=True))) for row in BT2020_TO_BT709]
    found = shown(colour, BT2020, 13)
    assert all(abs(one - other) <= 3 for one, other in zip(found, expected, strict=True)), (found, expected)


def test_an_avif_that_names_pq_is_shown_as_a_png_is():
    data = encoded(Image.new("RGB", (32, 32), (148, 148, 148)), "AVIF", quality=95, speed=10)
    at = data.index(b"colrnclx") + 8
    named = data[:at] + struct.pack(">2H", BT2020, PQ) + data[at + 4 :]
    pixel = opened(render(named, Target("png", 16, 16))).convert("RGB").getpixel((8, 8))
    assert all(abs(one - other) <= 3 for one, other in zip(pixel, shown((148,) * 3, BT2020, PQ), strict=True))
    facts = examine(named, Limits(10**6, 10**6))
    assert facts.metadata["color_profile"] == "BT.2020 PQ"
    assert facts.notes == ()


def test_an_ultra_hdr_jpeg_is_shown_by_its_base_picture():
    """Its gain map is a second picture, which a screen without HDR has no use for."""
    base, gains = landscape(64, 48), Image.new("L", (16, 12), 200)
    alone = encoded(base, "JPEG", quality=90)
    both = encoded(base, "MPO", quality=90, save_all=True, append_images=[gains])
    assert examine(both, Limits(10**6, 10**6)).frames == 2
    assert render(both, Target("png", 32, 24)).data == render(alone, Target("png", 32, 24)).data


def test_srgb_needs_no_profile_and_other_numbers_have_none():
    assert profile(BT709, 13) is None
    for primaries, transfer in ((2, 2), (BT2020, 8), (22, 13)):
        with pytest.raises(LookupError):
            profile(primaries, transfer)
