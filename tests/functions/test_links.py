"""A signed URL gives the picture and the size that were signed, and no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.links import LAST_DAY, LONGEST_SIDE, LinkError, Options, check, rendition_url, rung, sign, signed_path

SECRET, BEFORE, OTHER = b"the secret", b"the one before", b"another's"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEYS = ["raw/cat.jpg", "raw/a b+c%20é&?#,=.jpg", "raw//twice.jpg", "raw/📷/", "raw/w_640,f_webp/x", "raw/" + "é" * 500]

options = st.builds(
    Options,
    width=st.integers(1, LONGEST_SIDE).map(rung),
    height=st.integers(1, LONGEST_SIDE).map(rung),
    fit=st.sampled_from(["inside", "cover"]),
    quality=st.none() | st.integers(1, 100),
    format=st.sampled_from(["auto", "avif", "webp", "jpeg"]),
    expires=st.none() | st.integers(1, LAST_DAY // 86_400).map(lambda day: day * 86_400),
)


def test_the_signature_is_the_one_of_the_contract():
    """`printf 'w_640,f_auto/raw/é.jpg' | openssl dgst -sha256 -hmac 'the secret' -binary | head -c 20 | base64`."""
    assert sign(SECRET, "w_640,f_auto/raw/é.jpg") == "l49zQQCQPPEyrHylSAhpFOvayHg"
    assert (
        signed_path(SECRET, "raw/é.jpg", Options(width=640))
        == "/i/l49zQQCQPPEyrHylSAhpFOvayHg/w_640,f_auto/raw/%C3%A9.jpg"
    )


@pytest.mark.parametrize("key", KEYS)
def test_what_was_signed_is_what_is_given(key):
    """Whatever the key is called, and however a client encodes the path."""
    path = signed_path(SECRET, key, Options(width=640, format="webp"))
    assert urlsplit(f"https://host{path}").path == path
    everything = "/".join(quote(part, safe="") for part in unquote(path).split("/"))
    for sent in (path, everything):
        link = check([SECRET], sent, NOW)
        assert (link.key, link.options) == (key, Options(width=640, format="webp"))


@given(options)
def test_options_are_written_as_they_are_read(chosen):
    """So that one size has one URL."""
    assert Options.parse(str(chosen)) == chosen


@pytest.mark.parametrize(
    "sent",
    [
        "/i/{signature}/w_640,f_auto/raw/dog.jpg",
        "/i/{signature}/w_1280,f_auto/raw/cat.jpg",
        "/i/{signature}/w_640,f_auto,exp_4102444800/raw/cat.jpg",
        "/i/{signature}/w_640/f_auto/raw/cat.jpg",
        "/i/{signature}x/w_640,f_auto/raw/cat.jpg",
        "/i//w_640,f_auto/raw/cat.jpg",
        "/i/%C3%A9/w_640,f_auto/raw/cat.jpg",
        "/i/é/w_640,f_auto/raw/cat.jpg",
        "/i/{signature}",
        "/i/",
        "/i",
        "",
    ],
)
def test_a_stolen_signature_is_good_for_nothing_else(sent):
    """Not for another key, another size, another day, and not in part."""
    signature = sign(SECRET, "w_640,f_auto/raw/cat.jpg")
    check([SECRET], f"/i/{signature}/w_640,f_auto/raw/cat.jpg", NOW)
    with pytest.raises(LinkError) as refused:
        check([SECRET], sent.format(signature=signature), NOW)
    assert (refused.value.status, refused.value.code) == (403, "wrong_signature")


def test_both_secrets_sign_and_no_third():
    """While one secret takes the place of another."""
    for secret in (SECRET, BEFORE):
        assert check([SECRET, BEFORE], signed_path(secret, "raw/cat.jpg", Options()), NOW).key == "raw/cat.jpg"
    for secrets in ([SECRET, BEFORE], []):
        with pytest.raises(LinkError, match="wrong_signature"):
            check(secrets, signed_path(OTHER, "raw/cat.jpg", Options()), NOW)


def test_a_link_is_valid_to_the_end_of_the_day():
    """Links of one day are alike, so that they are cached together."""
    path = signed_path(SECRET, "raw/cat.jpg", Options(), NOW)
    assert path == signed_path(SECRET, "raw/cat.jpg", Options(), NOW + timedelta(hours=11, minutes=59))
    midnight = datetime(2026, 5, 5, tzinfo=UTC)
    assert check([SECRET], path, midnight - timedelta(seconds=1)).options.expires == midnight.timestamp()
    with pytest.raises(LinkError) as refused:
        check([SECRET], path, midnight)
    assert refused.value.status == 403
    assert str(refused.value) == "expired: the link was valid until 2026-05-05T00:00:00Z"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", ": there is no such option, only w, h, fit, crop, q, f, exp"),
        ("x_1", "x: there is no such option, only w, h, fit, crop, q, f, exp"),
        ("w_640,", ": there is no such option, only w, h, fit, crop, q, f, exp"),
        ("w_0", "w_0: must be a whole number from 1 to 16383"),
        ("w_16384", "w_16384: must be a whole number from 1 to 16383"),
        ("h_-1", "h_-1: must be a whole number from 1 to 16383"),
        ("w_٣", "w_٣: must be a whole number from 1 to 16383"),
        ("w_" + "9" * 5000, "must be a whole number from 1 to 16383"),
        ("w", "w_: must be a whole number from 1 to 16383"),
        ("q_101", "q_101: must be a whole number from 1 to 100"),
        ("f_gif", "f_gif: must be one of auto, avif, webp, jpeg, png"),
        ("fit_fill", "fit_fill: must be one of inside, cover"),
        ("w_1,h_1,fit_cover,crop_face", "crop_face: must be one of center, entropy, attention"),
        ("exp_tomorrow", "exp_tomorrow: must be a whole number from 1 to 253402214400"),
        ("w_640,fit_cover", "fit_cover: needs w and h"),
        ("w_640,h_480,crop_entropy", "crop_entropy: needs fit_cover"),
        ("q_80,f_png", "q_80: PNG loses nothing and has no quality"),
        ("w_1,w_2", "w_2: is given twice"),
        ("f_auto,w_640", "f_auto,w_640: the order is w, f"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(wrong, message):
    """To whoever signed it."""
    with pytest.raises(LinkError) as refused:
        check([SECRET], f"/i/{sign(SECRET, f'{wrong}/raw/cat.jpg')}/{quote(wrong)}/raw/cat.jpg", NOW)
    assert (refused.value.status, refused.value.code) == (400, "wrong_option")
    assert message in refused.value.message


def test_sides_are_rounded_up_to_a_ladder():
    """Few sizes are ever made of a picture, and none is smaller than was asked for."""
    assert [rung(side) for side in (1, 16, 17, 128, 256, 257, 640, 641, 1000, 1920, 4000, 16383)] == [
        *(16, 16, 32, 128, 256, 288, 640, 704, 1024, 1920, 4096, 16383),
    ]
    assert len({rung(side) for side in range(1, LONGEST_SIDE + 1)}) == 64
    assert all(0 <= rung(side) - side < max(16, side / 8) for side in range(1, LONGEST_SIDE + 1))
    assert str(Options.of({"h": 350, "w": "641"})) == "w_704,h_352,f_auto"


@pytest.mark.parametrize("key", ["raw/../cat.jpg", "raw/./cat.jpg", "raw/.."])
def test_a_key_that_no_browser_sends_is_not_signed(key):
    with pytest.raises(LinkError, match="wrong_key"):
        signed_path(SECRET, key, Options())
    signed_path(SECRET, "raw/...", replace(Options(), width=16))


def test_the_url_of_a_rendition_is_its_key():
    assert rendition_url("https://cdn.example", "a b+c%é/0f/thumb.webp") == (
        "https://cdn.example/a%20b%2Bc%25%C3%A9/0f/thumb.webp"
    )
