"""`darkroom link` signs what the real checker takes."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest

from darkroom.pipeline import links
from darkroom.pipeline.target import Target
from functions.links import Options, check
from tests.darkroom.conftest import darkroom

BASE = "https://pictures.example.com"


@pytest.fixture
def delivering(account, target):
    """A stack that delivers pictures, and one picture in it; its secret."""
    secret = boto3.client("secretsmanager").create_secret(Name="delivery", SecretString="a secret")["ARN"]
    account.deployed["Darkroom"] |= {"DeliveryUrl": BASE, "DeliverySecretArn": secret}
    target.results.put_item(Item={"key": "raw/a b+é.jpg", "status": "SUCCEEDED", "updated_at": "2026-05-04T10:00:00Z"})
    return b"a secret"


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ((), Options()),
        (("--width", "640"), Options(width=640)),
        (
            ("--fit", "cover", "--crop", "entropy", "--height", "320", "--width", "480", "--quality", "7"),
            Options(width=480, height=320, fit="cover", crop="entropy", quality=7),
        ),
        (("--format", "png"), Options(format="png")),
    ],
)
def test_the_url_is_valid_and_of_what_was_asked_for(delivering, options, meant):
    result = darkroom("--aws", "link", "a b+é.jpg", *options)
    assert result.exit_code == 0, result.stderr
    url = result.stdout.strip()
    assert url.startswith(f"{BASE}/i/")
    link = check([delivering], url.removeprefix(BASE), datetime.now(UTC))
    assert (link.key, link.options) == ("raw/a b+é.jpg", meant)


def test_days_end_at_midnight(delivering):
    url = darkroom("--aws", "link", "a b+é.jpg", "--days", "1").stdout.strip()
    now = datetime.now(UTC)
    expires = check([delivering], url.removeprefix(BASE), now).options.expires
    assert expires is not None
    assert expires % links.DAY == 0
    assert timedelta(days=1) - timedelta(minutes=1) < datetime.fromtimestamp(expires, UTC) - now <= timedelta(days=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fit", "cover", "--width", "5"), "needs --width and --height"),
        (("--crop", "entropy"), "needs --fit cover"),
        (("--format", "png", "--quality", "5"), "PNG loses nothing"),
        (("--width", "16384"), "less than or equal to 16383"),
    ],
)
@pytest.mark.usefixtures("delivering")
def test_what_no_url_has_is_a_mistake_in_what_was_typed(options, said):
    result = darkroom("--aws", "link", "a b+é.jpg", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_without_delivery_it_says_what_to_set(target):
    target.results.put_item(Item={"key": "raw/x.jpg", "status": "SUCCEEDED", "updated_at": "2026-05-04T10:00:00Z"})
    result = darkroom("--aws", "link", "x.jpg")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "delivers no pictures: set delivery.enabled to true" in result.stderr


@pytest.mark.usefixtures("delivering")
def test_a_key_that_browsers_change_has_no_url(target):
    target.results.put_item(Item={"key": "raw/../x.jpg", "status": "SUCCEEDED", "updated_at": "2026-05-04T10:00:00Z"})
    result = darkroom("--aws", "link", "raw/../x.jpg")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no URL can have '.' or '..' between slashes" in result.stderr


def test_the_local_cloud_is_asked_on_the_port_that_it_has_now(delivering, account, monkeypatch):
    """Another program may have taken the one it had when the stack was deployed."""
    account.deployed["Darkroom"]["DeliveryUrl"] = "https://d1.cloudfront.localhost:4566"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://localhost:5000")
    target = Target(boto3.Session(), name="a cloud", deploy_with="darkroom up")
    assert delivering
    assert links.base(target) == "https://d1.cloudfront.localhost:5000"
