"""`darkroom plan`: the sample, what is made of it by both settings, the page, and that the account stays as it is."""

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest

from darkroom.local.pictures import photo
from darkroom.pipeline import plan as plans
from darkroom.pipeline.plan import Sample
from darkroom.pipeline.target import Target
from stacks.settings import read_settings
from tests.darkroom.conftest import Stacks, darkroom
from tests.darkroom.test_backfill import Functions, functions
from tests.schemas import document

__all__ = ["functions"]

SMALL = {"renditions": {"small": {"width": 60, "height": 60}}}
NASTY = "raw/\"><script>alert(1)</script>&'{{ 7 * 7 }}.jpg"


def deploy(account: Stacks, **settings: Any) -> None:
    """As the template of the deployed stack has it, with functions that are given other things too."""
    given = read_settings({**SMALL, **settings}).for_validate()
    bucket = {"UPLOADS_BUCKET": {"Ref": "Uploads"}}
    functions = {"StepsBackfill": bucket, "StepsValidate": {**bucket, **given}}
    resources = {
        name: {"Type": "AWS::Lambda::Function", "Properties": {"Environment": {"Variables": variables}}}
        for name, variables in functions.items()
    }
    account.templates["Darkroom"] = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}, **resources}}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def bucket(target: Target, account: Stacks, functions: Functions) -> Functions:
    """Of two pictures that succeeded, one that was rejected, and one whose key is none for a page."""
    deploy(account)
    for key, data in {"raw/cat.jpg": photo(96, 64), "raw/words.jpg": b"words", NASTY: photo(64, 96)}.items():
        target.s3.put_object(Bucket="uploads", Key=key, Body=data)
        status = "REJECTED" if data == b"words" else "SUCCEEDED"
        target.results.put_item(Item={"key": key, "status": status, "updated_at": "9", "recipe": "0123456789abcdef"})
    return functions


def planned(*arguments: object) -> Any:
    result = darkroom("--aws", "plan", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return document("plan", result.stdout)


@pytest.mark.usefixtures("bucket")
def test_the_sample_is_made_by_both_settings():
    """Of the deployed stack, and with the change; what cannot be made says why."""
    plan = planned("-c", "quality.webp=5")
    by_key = {one["key"]: one for one in plan["pictures"]}
    assert list(by_key) == sorted(["raw/cat.jpg", "raw/words.jpg", NASTY])
    for key, pixels in (("raw/cat.jpg", (60, 40)), (NASTY, (40, 60))):
        [today], [proposed] = (by_key[key][which]["renditions"] for which in ("today", "proposed"))
        assert (today["width"], today["height"]) == (proposed["width"], proposed["height"]) == pixels
        assert today["bytes"] > proposed["bytes"]
        assert today["ssim"] > proposed["ssim"]
    assert by_key["raw/words.jpg"]["today"]["rejected"]["code"] == "unsupported_format"
    assert plan["backfill"]["pictures"] == 2  # that are stale then; the rejected one cannot be made
    assert plan["backfill"]["objects"] == 3


@pytest.mark.usefixtures("bucket")
def test_the_page_has_each_pair_and_nothing_of_a_key_as_html():
    """Every file that it shows is there."""
    plan = planned("-c", "quality.webp=5", "-o", "try")
    page = Path(plan["page"])
    html = page.read_text()
    assert page == Path("try/index.html")
    shown = [unquote(unescape(one)) for one in re.findall(r'<img src="([^"]*)"', html)]
    files = [
        one["file"] for each in plan["pictures"] for which in ("today", "proposed") for one in each[which]["renditions"]
    ]
    assert sorted(shown) == sorted(files)
    assert len(set(files)) == 4
    assert all((page.parent / file).stat().st_size for file in files)
    assert "<script>" not in html
    assert NASTY in unescape(html)
    assert "unsupported_format" in html
    assert "would make 2 pictures again" in html


@pytest.mark.usefixtures("bucket")
def test_nothing_in_the_account_is_changed(monkeypatch: pytest.MonkeyPatch):
    """What is sent only reads; the function that is called only counts, and the stack is not asked by the AWS client
    here."""
    session, sent = boto3.Session(), []
    session.events.register("before-call", lambda model, **_: sent.append(model.name))
    fresh = Target(session, name="again", deploy_with="make deploy")
    monkeypatch.setattr("darkroom.pipeline.target.choose", lambda **_: fresh)
    assert planned("-c", "quality.webp=5")["pictures"]
    assert set(sent) == {"ListObjectsV2", "GetObject"}


@pytest.mark.usefixtures("bucket")
def test_a_rendition_of_one_of_both_stands_alone():
    plan = planned("-c", 'renditions={"other": {"width": 30, "height": 30, "formats": ["webp", "jpeg"]}}')
    cat = plan["pictures"][1 if plan["pictures"][0]["key"] == NASTY else 0]
    assert [one["name"] for one in cat["today"]["renditions"]] == ["small"]
    assert [one["name"] for one in cat["proposed"]["renditions"]] == ["other", "other_jpeg"]
    html = Path(plan["page"]).read_text()
    assert ("Today: no other_jpeg" in html, "Proposed: no small" in html) == (True, True)


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(("more", "advised"), [([], True), (["-c", "reconcile_days=7"], False)])
def test_express_is_advised_to_search_for_lost_uploads(more: list[str], advised: bool):
    result = darkroom("--aws", "plan", "-c", "workflow=express", *more)
    assert ("reconcile_days should be set" in result.stderr) is advised


@pytest.mark.parametrize("change", ["captions.alarm_share=0.3", "limits.max_pixels=1000", "quality.webp=80"])
def test_settings_that_change_no_file_say_so(bucket: Functions, change: str):
    """And nothing is listed or made."""
    result = darkroom("--aws", "plan", "-c", change)
    assert (result.exit_code, "changes no file" in result.stderr) == (0, True)
    assert list(Path().iterdir()) == bucket.batches == []
    plan = planned("-c", change)
    assert (plan["backfill"], plan["pictures"], plan["page"]) == (None, [], None)


@pytest.mark.usefixtures("bucket")
def test_settings_that_change_the_recipe_but_none_of_these_files_say_so():
    """No rendition here is AVIF, and a backfill of what is stale does not know that."""
    result = darkroom("--aws", "plan", "-c", "quality.avif=60")
    assert result.exit_code == 0
    assert "No file of the sample changes" in result.stderr
    assert re.search(r"^pictures to make +2$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("quality.webp=0", 'quality.webp = "0": must be'),
        ("qualty.webp=60", "did you mean quality?"),
        ("quality.webp", "is not NAME=VALUE"),
        ("quality.webp=", 'quality.webp = "": must be'),
    ],
)
def test_a_wrong_setting_is_a_mistake_in_what_was_typed(bucket: Functions, change: str, said: str):
    result = darkroom("--aws", "plan", "-c", change)
    assert result.exit_code == 2
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
    assert bucket.batches == []


def test_a_folder_with_something_in_it_is_left_alone(bucket: Functions):
    """Before anything is counted. Without one, each plan has a new folder."""
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    result = darkroom("--aws", "plan", "-c", "quality.webp=5", "-o", "full")
    assert (result.exit_code, "--output" in result.stderr) == (1, True)
    assert bucket.batches == []
    pages = [planned("-c", "quality.webp=5", "--sample", 1)["page"] for _ in range(2)]
    assert pages == ["darkroom-plan/index.html", "darkroom-plan-2/index.html"]


@pytest.mark.usefixtures("bucket")
def test_objects_that_cannot_be_read_or_made_do_not_end_it(target: Target, monkeypatch: pytest.MonkeyPatch):
    """One that was deleted meanwhile, one that is too large for both, and one that ends its process."""
    proposal = plans.propose(target, {"quality.webp": "5", "limits.max_bytes": "100000"})
    objects = [("raw/gone.jpg", 9), ("raw/huge.jpg", 60_000_000), ("raw/cat.jpg", 9)]
    monkeypatch.setattr(plans, "LONGEST", 0)
    gone, huge, slow = plans.compare(target, proposal, objects, Path("made"))
    assert "cannot be read" in str(gone.problem)
    assert huge.problem == "too_large: 60,000,000 bytes, limit 52,428,800 bytes"
    assert slow.problem == "not made within 0 s"
    monkeypatch.setattr(plans, "LONGEST", 60)
    proposal = plans.Proposal(proposal.today, {**proposal.proposed, "RENDITIONS": "["})
    [broken] = plans.compare(target, proposal, [("raw/cat.jpg", 9)], Path("again"))
    assert "JSONDecodeError" in str(broken.problem)


@pytest.mark.usefixtures("bucket")
def test_a_stack_without_it_says_what_to_run(account: Stacks):
    account.templates["Darkroom"] = {"Resources": {}}
    result = darkroom("--aws", "plan", "-c", "quality.webp=5")
    assert (result.exit_code, "run `make deploy`" in result.stderr) == (1, True)


def sampled(keys: list[str], number: int, pages: int) -> list[str]:
    sample = Sample(number)
    for start in range(0, len(keys), pages):
        sample.see([{"key": key, "size": 1} for key in keys[start : start + pages]])
    return [key for key, _ in sample.objects()]


def test_a_sample_is_spread_over_the_listing_and_always_the_same():
    """However the listing is cut into pages; and most of it stays as the bucket grows."""
    keys = [f"raw/{number:05}.jpg" for number in range(10_000)]
    found = sampled(keys, 100, 1000)
    assert found == sampled(keys, 100, 7) == sorted(set(found))
    tenths = [sum(key < f"raw/{at:05}.jpg" for key in found) for at in range(1000, 10_001, 1000)]
    assert all(later - earlier > 2 for earlier, later in zip([0, *tenths], tenths, strict=False))
    assert len(set(found) & set(sampled([*keys, *(f"raw/new-{number}" for number in range(1000))], 100, 1000))) > 80
    assert sampled(keys[:3], 100, 1000) == keys[:3]


def test_what_has_no_bytes_is_not_in_the_sample():
    """As a folder's marker."""
    sample = Sample(5)
    sample.see([{"key": "raw/folder/", "size": 0}, {"key": "raw/cat.jpg", "size": 3}])
    assert sample.objects() == [("raw/cat.jpg", 3)]
