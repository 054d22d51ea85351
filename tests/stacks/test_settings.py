"""The settings: `cdk.json` and `-c` in, checked values or a line that says what is wrong out."""

import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from darkroom.local.pictures import encoded
from stacks.models import GEOGRAPHIES, NOVA_LITE, NOVA_LITE_IN, SERVED
from stacks.settings import Settings, SettingsError, read_settings

ROOT = Path(__file__).resolve().parents[2]


def test_what_cdk_json_says_is_the_default():
    """The file shows the values that hold without it, so that reading it is enough."""
    assert read_settings(json.loads((ROOT / "cdk.json").read_text())["context"]) == Settings()


def test_the_cdks_own_context_is_left_alone():
    """`aws:…` and `@aws-cdk/…` are not misspelt settings."""
    theirs = {"aws:cdk:version-reporting": True, "@aws-cdk/core:checkSecretUsage": True, "cli-telemetry": False}
    assert read_settings(theirs) == Settings()


def test_the_command_line_reaches_into_a_group():
    """`-c captions.enabled=true` changes that and leaves the rest of the group, wherever the group was written."""
    settings = read_settings(
        {"captions": {"max_tokens": 7}, "captions.enabled": "true", "functions.resize.memory": "3008"},
        "us-east-1",
    )
    assert (settings.captions.enabled, settings.captions.max_tokens) == (True, 7)
    assert settings.functions.resize.memory == 3008


def test_a_model_gets_no_temperature_unless_it_is_set():
    """Some models refuse one; `top_p` neither."""
    assert read_settings({}).captions.model_dump(exclude_none=True).keys().isdisjoint({"temperature", "top_p"})


def test_a_rendition_whose_name_has_a_digit_is_reached_too():
    """`-c renditions.w640={…}` is not silently ignored."""
    assert read_settings({"renditions.w640": '{"width": 640, "height": 640}'}).renditions["w640"].width == 640


def test_a_group_may_be_given_as_json():
    """`-c renditions='{…}'` arrives as text."""
    settings = read_settings({"renditions": '{"hero": {"width": 1600, "height": 900, "formats": ["avif", "webp"]}}'})
    assert settings.renditions["hero"].formats == ("avif", "webp")


@pytest.mark.parametrize(
    ("region", "model"),
    [
        ("us-east-1", "amazon.nova-lite-v1:0"),
        ("us-west-2", "us.amazon.nova-lite-v1:0"),
        ("us-gov-west-1", "amazon.nova-lite-v1:0"),
        ("ca-central-1", "ca.amazon.nova-lite-v1:0"),
        ("eu-central-1", "eu.amazon.nova-lite-v1:0"),
        ("il-central-1", "eu.amazon.nova-lite-v1:0"),
        ("ap-south-1", "apac.amazon.nova-lite-v1:0"),
    ],
)
def test_the_default_model_is_called_as_its_region_calls_it(region, model):
    """By its own id where the region has it, else by the inference profile of the geography."""
    assert read_settings({"captions.enabled": "true"}, region).captions.model_id == model


def test_a_model_that_is_set_is_taken_as_it_is():
    """Also where the default one is known, and where nothing is."""
    for region in ("eu-central-1", "sa-east-1", None):
        chosen = {"captions": {"enabled": True, "model_id": "global.anthropic.claude-haiku-4-5-20251001-v1:0"}}
        assert read_settings(chosen, region).captions.model_id == "global.anthropic.claude-haiku-4-5-20251001-v1:0"


def test_without_captions_no_region_is_asked_for():
    """A synth needs neither a region nor one that has the model."""
    assert read_settings({}, "sa-east-1") == read_settings({}) == Settings()


@pytest.mark.parametrize(
    ("region", "line"),
    [
        ("sa-east-1", "neither amazon.nova-lite-v1:0 nor an inference profile of it is known in sa-east-1: set it to"),
        ("us-gov-east-1", "is known in us-gov-east-1"),
        (None, "captions.model_id: is not set, and the region to choose it for is unknown: set AWS_REGION"),
    ],
)
def test_a_region_for_which_no_model_is_known_ends_the_synth(region, line):
    """With the region, what was looked for, and the setting."""
    with pytest.raises(SettingsError) as wrong:
        read_settings({"captions.enabled": "true"}, region)
    assert str(wrong.value).startswith("captions.model_id: is not set")
    assert line in str(wrong.value)


def test_every_inference_profile_in_the_table_is_of_a_known_geography():
    """A role is granted a profile by what its id begins with; a region has one name of the model."""
    assert {name.removesuffix(NOVA_LITE).rstrip(".") for name in SERVED} - {""} <= GEOGRAPHIES
    assert len(NOVA_LITE_IN) == sum(map(len, SERVED.values()))


@pytest.mark.parametrize(
    ("context", "seconds"),
    [({}, 20), ({"limits.max_cpu_seconds": 50}, 50), ({"functions.validate.memory": 512}, 14)],
)
def test_validate_reaches_its_limit_of_cpu_before_its_time_is_out(context, seconds):
    """A function of 512 MB has 0.29 of a vCPU, and so 14 s of CPU in 50."""
    assert read_settings(context).for_validate()["MAX_CPU_SECONDS"] == str(seconds)


def test_a_file_of_settings_goes_before_all_others(tmp_path):
    """A group in it takes the place of the whole group, as in cdk.json; a member reaches into one."""
    file = tmp_path / "staging.json"
    file.write_text('{"stack": "Staging", "limits": {"max_bytes": 7}, "quality.webp": 60}')
    here = {"settings": str(file), "background": "#000000", "limits": {"max_pixels": 9}, "quality": {"jpeg": 70}}
    here |= {"limits.max_bytes": 8}
    read = read_settings(here)
    assert (read.stack, read.background, read.limits.max_bytes) == ("Staging", "#000000", 7)
    assert read.limits.max_pixels == Settings().limits.max_pixels
    assert (read.quality.webp, read.quality.jpeg) == (60, 70)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (None, "No such file or directory"),
        ("{stack: 1}", "is not JSON: Expecting property name"),
        ('["stack"]', "must be a JSON object of settings"),
        ('{"stak": "x"}', "stak: there is no such setting: did you mean stack?"),
    ],
)
def test_a_wrong_file_of_settings_ends_the_synth(tmp_path, text, wrong):
    file = tmp_path / "staging.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=wrong):
        read_settings({"settings": str(file)})


def test_a_name_that_cloudformation_does_not_take_is_refused():
    for name in ("2nd", "a_b", "a" * 65, ""):
        with pytest.raises(SettingsError, match="stack = "):
            read_settings({"stack": name})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"uploads_bucket": "s3://my-photos"}, 'uploads_bucket = "s3://my-photos": must be text of the form ^[a-z0-9]'),
    ({"upload_prefix": "raw"}, "upload_prefix = \"raw\": a prefix ends with '/'"),
    ({"upload_prefix": "/raw/"}, "upload_prefix = \"/raw/\": a prefix ends with '/'"),
    (
        {"renditions": {}},
        (
            "renditions = {}: must be 1 to 20 names,"
            " each a group of width, height, fit, crop, animated, watermark, formats"
        ),
    ),
    (
        {"renditions": {"a": {"width": 0, "height": 9}}},
        "renditions.a.width = 0: must be a whole number from 1 to 16,383",
    ),
    (
        {"renditions": {"a": {"width": 9}}},
        "renditions.a.height: is missing, and must be a whole number from 1 to 16,383",
    ),
    ({"renditions": {"a_b": {"width": 9, "height": 9}}}, "the name 'a_b' is not 1 to 32 lower-case letters"),
    (
        {"renditions": {"a": {"width": 9, "height": 9, "formats": ["gif"]}}},
        'renditions.a.formats.0 = "gif": must be one of webp, jpeg, png, avif',
    ),
    (
        {"renditions": {"a": {"width": 9, "height": 9, "crop": "attention"}}},
        'renditions.a = {"width": 9, "height": 9, "crop": "attention"}: crop is attention, which needs fit to be cover',
    ),
    (
        {"renditions": {"a": {"width": 9, "height": 9, "animated": True, "formats": ["jpeg", "avif"]}}},
        "animated needs webp in formats, which are jpeg, avif",
    ),
    ({"renditions": {"a": {"width": 9, "height": 9, "crop": "face"}}}, 'crop = "face": must be one of center, entropy'),
    ({"renditions": {"a": {"width": 9, "height": 9, "watermark": {}}}}, "renditions.a.watermark.file: is missing"),
    (
        {"renditions": {"a": {"width": 9, "height": 9, "watermark": {"file": "a.png", "size": 1.5}}}},
        "renditions.a.watermark.size = 1.5: must be a number",
    ),
    ({"limits.max_animated_pixels": 0}, "limits.max_animated_pixels = 0: must be a whole number from 1 to 400,000,000"),
    ({"quality": "200"}, 'quality = "200": must be a group of webp, jpeg, avif'),
    ({"captions.alarm_share": 1}, "captions.alarm_share = 1: must be a number from 0 to less than 1"),
    ({"api.origins": '["*"]'}, 'api.origins.0 = "*": must be text of the form ^https'),
    ({"api.origins": '["https://a.example/path"]'}, "must be text of the form ^https"),
    ({"api.jwt.issuer": "https://issuer.example.com"}, "api.jwt.audience: is missing, and must be a list, each text"),
    ({"api.jwt.issuer": "http://issuer"}, 'api.jwt.issuer = "http://issuer": must be text of the form ^https://'),
    ({"api.rate": 0}, "api.rate = 0: must be a whole number from 1 to 10,000"),
    ({"api.burst": 5001}, "api.burst = 5001: must be a whole number from 1 to 5,000"),
    ({"old_versions_days": 0}, "old_versions_days = 0: must be a whole number, 1 or more"),
    ({"background": "white"}, 'background = "white": must be text of the form ^#'),
    ({"captions.prompt": 5}, "captions.prompt = 5: must be text"),
    ({"quality": {"webp": 101}}, "quality.webp = 101: must be a whole number from 1 to 100"),
    ({"limits": {"max_bytes": 0}}, "limits.max_bytes = 0: must be a whole number from 1 to 536,870,912"),
    ({"limits.max_pixels": "many"}, 'limits.max_pixels = "many": must be a whole number from 1 to 268,000,000'),
    ({"limits.max_cpu_seconds": 51}, "limits.max_cpu_seconds = 51: must be a whole number from 1 to 50"),
    ({"captions.temperature": "1.5"}, 'captions.temperature = "1.5": must be a number from 0 to 1'),
    (
        {"functions": {"resize": {"memory": 64}}},
        "functions.resize.memory = 64: must be a whole number from 128 to 10,240",
    ),
    ({"log_retention_days": 31}, "log_retention_days = 31: CloudWatch Logs takes only 1, 3, 5, 7, 14, 30"),
    ({"heic": "maybe"}, 'heic = "maybe": must be true or false'),
    ({"jxl": 2}, "jxl = 2: must be true or false"),
    ({"keep_copyright": 2}, "keep_copyright = 2: must be true or false"),
    ({"kms_key": "alias/ours"}, 'kms_key = "alias/ours": is not the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID'),
    ({"kms_key": "arn:aws:kms:eu-west-1:111122223333:alias/ours"}, "an alias will not do"),
    ({"kms_key": "arn:aws:kms:eu-west-1:1111:key/11111111-2222-3333-4444-555555555555"}, "is not the ARN of a key"),
    ({"removal_policy": "snapshot"}, 'removal_policy = "snapshot": must be one of retain, destroy'),
    ({"rendition": {}}, "rendition: there is no such setting: did you mean renditions?"),
    ({"captions.enable": "true"}, "captions.enable: there is no such setting: did you mean captions.enabled?"),
    ({"webhook.url": "example.com/hook"}, 'webhook.url = "example.com/hook": is not https://HOST/PATH'),
    ({"webhook.url": "https://me:secret@example.com/"}, "without user, password and fragment"),
    ({"webhook.url": "https://example.com:70000/"}, "Port out of range 0-65535"),
    ({"webhook.url": "https://example.com/#here"}, "is not https://HOST/PATH"),
    ({"webhook.url": "https://example.com/" + "a" * 2048}, "at most 2,048 characters"),
    ({"webhook.url": "http://example.com/"}, "must begin with https://: what a row says goes over no open line"),
    ({"webhook.url": "http://127.0.0.1:80@example.com/", "local_cloud": "true"}, "is not https://HOST/PATH"),
    ({"webhook.url": "http://127.0.0.1:9000/"}, "must begin with https://, but for the local cloud"),
    ({"renditions": "{oops"}, "renditions = '{oops': is not JSON"),
    ({"Captions.enabled": "true"}, "Captions: there is no such setting"),
    ({"map-concurrency": 3}, "map-concurrency: there is no such setting"),
    ({"cli": 1}, "cli: there is no such setting"),
    ({"captions": True, "captions.enabled": "true"}, "captions = true: is a group"),
    (
        {
            "renditions": {"a": {"width": 9, "height": 9, "watermark": None}},
            "renditions.a.watermark.file": "none.png",
        },
        'renditions.a.watermark.file = "none.png": there is no such file',
    ),
    ({"captions.prompt": "é" * 1500}, "éé…: 3,002 bytes as JSON, limit 3,000"),
    (
        {"functions.resize": {"reserved_concurrency": 2, "provisioned_concurrency": 3}},
        'functions.resize = {"reserved_concurrency": 2, "provisioned_concurrency": 3}: more are provisioned',
    ),
]


@pytest.mark.parametrize(("context", "line"), WRONG, ids=[line for _, line in WRONG])
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(context, line):
    """The synth ends with a line a person can act on."""
    with pytest.raises(SettingsError) as wrong:
        read_settings(context)
    assert line in str(wrong.value)


@pytest.fixture
def watermarks(tmp_path, monkeypatch):
    monkeypatch.setattr("stacks.settings.WATERMARKS", tmp_path)
    return tmp_path


def marked(file):
    return {"renditions": json.dumps({"small": {"width": 9, "height": 9, "watermark": {"file": file}}})}


def test_another_watermark_is_another_recipe(watermarks):
    """Also where only the file changes."""
    recipes = [read_settings({"renditions": '{"small": {"width": 9, "height": 9}}'}).recipe]
    for colour in ("red", "blue"):
        Image.new("RGB", (3, 3), colour).save(watermarks / "logo.png")
        settings = read_settings(marked("logo.png"))
        recipes.append(settings.recipe)
        assert list(json.loads(settings.for_validate()["WATERMARKS"])) == ["logo.png"]
    assert len(set(recipes)) == 3


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("none.png", "there is no such file in"),
        ("../cdk.json", "there is no such file in"),
        ("words.png", "is no PNG and no WebP"),
        ("photo.jpg", "is no PNG and no WebP"),
        ("broken.png", "cannot be decoded: image file is truncated"),
        ("heavy.png", "has 1,048,577 bytes, limit 1,048,576"),
        ("large.png", "has 2000x1000 = 2,000,000 pixels, limit 1,048,576"),
        ("bomb.png", "has too many pixels, limit 1,048,576: Image size (400000000 pixels)"),
        ("chunk.png", "cannot be decoded: broken PNG file"),
        ("lost.webp", "cannot be decoded: could not create decoder object"),
    ],
)
def test_a_watermark_that_is_none_is_refused(watermarks, monkeypatch, file, says):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478_485)  # Pillow's own, which the functions lift
    (watermarks / "words.png").write_text("words")
    Image.new("RGB", (3, 3)).save(watermarks / "photo.jpg")
    Image.new("RGB", (2000, 1000)).save(watermarks / "large.png")
    Image.effect_noise((100, 100), 90).save(watermarks / "broken.png")
    (watermarks / "broken.png").write_bytes((watermarks / "broken.png").read_bytes()[:2000])
    (watermarks / "heavy.png").write_bytes(bytes((1 << 20) + 1))
    small = encoded(Image.new("RGB", (3, 3)), "PNG")
    header = b"IHDR" + struct.pack(">2I", 20_000, 20_000) + small[24:29]
    (watermarks / "bomb.png").write_bytes(small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:])
    (watermarks / "chunk.png").write_bytes(small[:33] + b"\0\0\0\3" + small[37:44] + bytes(20))
    (watermarks / "lost.webp").write_bytes(encoded(Image.new("RGB", (9, 9)), "WEBP")[:40])
    with pytest.raises(SettingsError, match=re.escape(says)):
        read_settings(marked(file))
