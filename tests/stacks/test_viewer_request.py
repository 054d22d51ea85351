"""Of the requests that have the same answer, the CloudFront Function makes one, so that the cache has it once.

It runs in node, as the local cloud runs it.
"""

from pathlib import Path

import pytest
from ministack.core import cloudfront_js

CODE = (Path(__file__).resolve().parents[2] / "stacks" / "viewer_request.js").read_bytes()


def reduced(uri: str, *accept: str) -> dict:
    """What the function makes of the request. Of two headers of one name, `multiValue` has both."""
    values = [{"value": value} for value in accept]
    header = {"accept": {**values[0], **({"multiValue": values} if len(values) > 1 else {})}} if accept else {}
    request = {"method": "GET", "uri": uri, "querystring": {}, "headers": header, "cookies": {}}
    return cloudfront_js.evaluate(CODE, {"version": "1.0", "request": request})


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "image/avif"),  # Chrome
        ("image/webp, image/avif;q=0.9", "image/avif"),
        ("image/webp,*/*", "image/webp"),
        ("IMAGE/WEBP", "image/webp"),
        ("image/avif;q=0,image/webp;q=0.0", "image/jpeg"),
        ("image/avif; q=0.01", "image/avif"),
        ("image/avifx,ximage/webp", "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("", "image/jpeg"),
    ],
)
@pytest.mark.parametrize("uri", ["/p/small/raw/cat.jpg", "/i/signature/w_640,f_auto/raw/cat.jpg"])
def test_accept_becomes_one_of_three(uri, accept, best):
    assert reduced(uri, accept)["headers"]["accept"]["value"] == best


def test_what_is_not_sent_or_sent_twice_counts_too():
    assert reduced("/p/small/raw/cat.jpg")["headers"]["accept"]["value"] == "image/jpeg"
    assert reduced("/p/small/raw/cat.jpg", "text/html", "image/webp")["headers"]["accept"]["value"] == "image/webp"


@pytest.mark.parametrize("options", ["f_png", "w_640,f_webp", "w_640,f_jpeg,exp_86400", "w_640%2Cf_avif"])
def test_where_the_format_is_chosen_the_browser_makes_no_difference(options):
    uri = f"/i/signature/{options}/raw/cat.jpg"
    assert reduced(uri, "image/avif") == reduced(uri, "*/*")


def test_a_format_in_a_key_chooses_nothing():
    assert reduced("/i/signature/w_640/f_png/cat.jpg", "image/avif")["headers"]["accept"]["value"] == "image/avif"


@pytest.mark.parametrize(
    "sent", ["/p/small/raw/a b+é.jpg", "/p/small/raw/a%20b%2B%C3%A9.jpg", "/%70/small%2Fraw/%61%20b+%c3%a9.jpg"]
)
def test_a_path_has_one_encoding(sent):
    """Or the holder of one URL could ask past the cache by writing it differently."""
    assert reduced(sent)["uri"] == "/p/small/raw/a%20b%2B%C3%A9.jpg"


def test_a_percent_sign_of_the_key_stays_one():
    assert reduced("/p/small/raw/100%2525.jpg")["uri"] == "/p/small/raw/100%2525.jpg"


@pytest.mark.parametrize("sent", ["/p/small/%", "/p/small/%ff.jpg"])
def test_what_is_no_text_is_refused(sent):
    answer = reduced(sent)
    assert answer["statusCode"] == 400
    assert answer["body"].startswith("malformed_path: ")
