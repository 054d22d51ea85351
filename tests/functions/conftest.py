"""The functions as Lambda calls them, with moto's S3 under them."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions import caption, cleanup, promises, resize, results, storage, telemetry, validate
from tests.aws import create_results_table

UPLOADS, RENDITIONS = "uploads", "renditions"

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "POWERTOOLS_SERVICE_NAME": "test",
    "UPLOAD_PREFIX": "raw/",
    "MAX_BYTES": "1000000",
    "MAX_PIXELS": "4000000",
    "MAX_CPU_SECONDS": "20",
    "RENDITIONS": json.dumps(
        [
            {"name": "thumb", "width": 128, "height": 128, "fit": "cover", "crop": "center", "formats": ["webp"]},
            {
                "name": "small",
                "width": 480,
                "height": 480,
                "fit": "inside",
                "crop": "center",
                "formats": ["webp", "png"],
            },
        ]
    ),
    "QUALITY": json.dumps({"webp": 80, "jpeg": 80, "avif": 50}),
    "BACKGROUND": "#ffffff",
    "HEIC": "false",
    "JXL": "false",
    "RECIPE": "0123456789abcdef",
    "KEEP_COPYRIGHT": "false",
    "KEEP_LOCATION": "false",
    "WATERMARKS": "{}",
    "MAX_ANIMATED_PIXELS": "null",
    "RENDITIONS_BUCKET": RENDITIONS,
    "RESULTS_TABLE": "results",
    "UPLOADS_BUCKET": UPLOADS,
    "PROMISES_TABLE": "promises",
    "LONGEST_EXECUTION_SECONDS": "5400",
    "SECONDS_LEFT_ALONE": "300",
    "CAPTIONS": json.dumps({"model_id": "a.model-v1:0", "prompt": "Say what you see.", "max_tokens": 50, "top_p": 0.9}),
}


@dataclass
class Context:
    """What Lambda hands a handler, as far as ours look."""

    function_name: str = "function"
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id: str = "request"
    seconds_left: float = 840

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds_left * 1000)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The variables that the stack sets; what a handler read of them once is forgotten between tests."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    remembered = (
        storage.storage,
        results.results,
        promises.promises,
        validate.settings,
        validate.examiner,
        resize.renditions_bucket,
        caption.settings,
        caption.bedrock,
        cleanup.settings,
    )
    for once in remembered:
        once.cache_clear()
    with mock_aws():
        yield
    if validate.examiner.cache_info().currsize:
        validate.examiner().close()
    for once in remembered:
        once.cache_clear()


@pytest.fixture
def s3() -> Any:
    client = boto3.client("s3")
    for bucket in (UPLOADS, RENDITIONS):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_bucket_versioning(Bucket=UPLOADS, VersioningConfiguration={"Status": "Enabled"})
    return client


@pytest.fixture
def table() -> Any:
    """The results table, with its index."""
    client = boto3.client("dynamodb")
    create_results_table(client, ENVIRONMENT["RESULTS_TABLE"])
    return client


@pytest.fixture
def upload(s3: Any) -> Callable[[str, bytes], dict[str, str]]:
    """Puts an original and returns the `source` that Claim would hand on."""

    def put(key: str, data: bytes) -> dict[str, str]:
        answer = s3.put_object(Bucket=UPLOADS, Key=key, Body=data)
        return {"bucket": UPLOADS, "key": key, "version_id": answer["VersionId"], "etag": answer["ETag"].strip('"')}

    return put


@pytest.fixture
def call() -> Callable[..., Any]:
    """Calls a step as its task state does: through JSON both ways."""

    def invoke(step: Any, source: dict[str, str], *services: Any, **payload: Any) -> Any:
        event = json.loads(json.dumps({"source": source, "execution": "arn:execution", **payload}))
        return json.loads(json.dumps(step.handler(event, Context(), *services)))

    return invoke


@pytest.fixture
def log_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[dict[str, Any]]]:
    logged = io.StringIO()  # the logger took the standard output there was when it was imported
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", logged)

    def lines() -> list[dict[str, Any]]:
        printed = logged.getvalue() + capsys.readouterr().out
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]

    return lines
