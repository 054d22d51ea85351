"""What 1,000 pictures cost on AWS at list prices of us-east-1: counted, measured here, or assumed with its source."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from functools import partial
from statistics import median
from types import SimpleNamespace
from typing import Any

from benchmarks.clock import least
from benchmarks.photos import SETTINGS, Photo
from benchmarks.report import Figure, begin, show

PICTURES = 1000
RENDITIONS = 4
CALLS = 1 + RENDITIONS  # of functions: Validate, and Resize for each rendition
TRANSITIONS = 11  # of one picture with four renditions and captions off; tests/statemachine counts them
ALARMS = 32  # tests/stacks counts them
METRICS = 7 + 7  # of our own with captions off; the second 7 are the codes of rejections
BAR, EXPRESS_BAR = 0.36, 0.12  # USD for all that 1,000 pictures cost when they are made

# With `workflow: express`, of one picture as above: what its state machine logs at level ALL, in events and bytes.
# tests/statemachine count 34,400 bytes; AWS's have the HTTP headers of each answer, and longer names, which is assumed.
LOGGED_EVENTS, LOGGED_BYTES = 59, 60_000

# An execution waits for its functions, and moves from state to state. 50 MB, the definition and the data are below the
# first 64 MB, by which memory is billed: https://aws.amazon.com/step-functions/pricing/
EXPRESS_SECONDS, EXPRESS_GB = 3.0, 64 / 1024

# How long S3 takes, which is billed as Lambda. By AWS the median of a request below 512 KB is some tens of
# milliseconds, and a connection gives 85 to 90 MB/s.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html
S3_ANSWERS = 0.050  # seconds
S3_BYTES_PER_SECOND = 85e6

# AWS found cold starts in under 1 % of all calls: https://aws.amazon.com/blogs/compute/operating-lambda-performance-optimization-part-1/
# The seconds are assumed; `make bench ONLY=cold` measures the CPU of ours here.
COLD_STARTS, COLD_START = 0.01, 0.8

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
BYTES_OF_AN_EVENT = 26
REQUEST = "8286a188-ba32-4475-8077-530cd35c09a9"
LAMBDAS_OWN_LINES = (
    f"START RequestId: {REQUEST} Version: $LATEST\n",
    f"END RequestId: {REQUEST}\n",
    (
        f"REPORT RequestId: {REQUEST}\tDuration: 123.45 ms\tBilled Duration: 124 ms\tMemory Size: 1769 MB\t"
        "Max Memory Used: 321 MB\t\n"
    ),
)

# Read on 2026-11-24 and 25; AWS's own pages hide most prices in scripts.
STATES = "https://aws.amazon.com/step-functions/pricing/"
API_GATEWAY = "https://aws.amazon.com/api-gateway/pricing/"
LAMBDA = "https://cloudchipr.com/blog/aws-lambda-pricing"
S3 = "https://c3x.dev/blog/s3-request-fees-explained"
STORAGE = "https://aws.amazon.com/s3/pricing/"
DYNAMODB = "https://airbyte.com/data-engineering-resources/dynamodb-pricing"
EVENTS = "https://blog.awsfundamentals.com/aws-eventbridge-pricing-guide"
CLOUDWATCH = "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/"
SQS = "https://aws.amazon.com/sqs/pricing/"
CLOUDFRONT = "https://aws.amazon.com/cloudfront/pricing/"
SECRETS = "https://aws.amazon.com/secrets-manager/pricing/"
BEDROCK = "https://aws.amazon.com/bedrock/pricing/"
KMS = "https://aws.amazon.com/kms/pricing/"

A_GB_SECOND = 0.0000133334  # on arm64
A_CALL = 0.20 / 1_000_000
A_TRANSITION = 0.025 / 1000
AN_EXPRESS_REQUEST, AN_EXPRESS_GB_SECOND = 1.00 / 1_000_000, 0.06 / 3600
A_READ, A_WRITE = 0.0004 / 1000, 0.005 / 1000  # of S3; a listing costs as much as a write
A_WRITE_UNIT = 0.625 / 1_000_000
A_GB_STORED = 0.023  # a month


@dataclass(frozen=True, slots=True)
class Line:
    """`price`: USD for one. `source`: the page it was read on."""

    what: str
    count: float
    price: float
    source: str

    @property
    def usd(self) -> float:
        return self.count * self.price


@dataclass(frozen=True, slots=True)
class Work:
    """Of the five calls of one picture together."""

    cpu: float  # seconds, measured here; on Lambda one thread has a processor to itself at 1,769 MB
    read: float  # bytes
    written: float
    logged: float  # bytes, as they are billed

    @property
    def seconds(self) -> float:
        """From the entry of each call to its end, which is what Lambda bills."""
        waiting = 2 * RENDITIONS + 1
        starting = CALLS * COLD_STARTS * COLD_START
        return self.cpu + waiting * S3_ANSWERS + (self.read + self.written) / S3_BYTES_PER_SECOND + starting


class FromMemory:
    """Stands in for the functions' Storage: what S3 takes to answer is added by `Work`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.read_bytes = self.written_bytes = 0

    def read(self, *_: Any, **__: Any) -> Any:
        from functions.storage import Original

        self.read_bytes += len(self._data)
        return Original(self._data, "yyrqXcSpH2dJmPVAfgTCRZYHFOQCYzzH")

    def write(self, *request: Any) -> None:
        _, _, data, _ = request
        self.written_bytes += len(data)


def measure(photos: Sequence[Photo]) -> list[Figure]:
    """Print what a picture costs, what it costs besides, and what is paid in any case."""
    works = [measured(photo) for photo in photos]
    work = Work(*(median(getattr(one, field.name) for one in works) for field in fields(Work)))
    made, express = list(lines(work)), list(lines(work, express=True))
    table("1,000 pictures", made)
    table("1,000 pictures, `workflow: express`", express)
    table("besides, for 1,000", besides(work), total=False)
    table("a month, in any case", monthly(), total=False)
    return [
        Figure("USD for 1,000 pictures", sum(line.usd for line in made), BAR),
        Figure("USD for 1,000 pictures, express", sum(line.usd for line in express), EXPRESS_BAR),
    ]


def table(title: str, of: Sequence[Line], *, total: bool = True) -> None:
    rows = [(line.what, f"{line.count:,.3f}", f"{line.usd:.4f}", line.source) for line in of]
    last = [("together", "", f"{sum(line.usd for line in of):.4f}", "")] if total else []
    show((title, "count", "USD", "price"), [*rows, *last])


def lines(work: Work, *, express: bool = False) -> Iterator[Line]:
    """All that 1,000 pictures cost when they are made."""
    memory = SETTINGS.functions.resize.memory / 1024
    split = f"{work.cpu:.2f} s of CPU here, the rest waiting for S3"
    yield from (
        of_express() if express else [Line("Step Functions: transitions", PICTURES * TRANSITIONS, A_TRANSITION, STATES)]
    )
    yield Line(
        f"Lambda, arm64: GB-seconds ({work.seconds:.2f} s: {split})",
        PICTURES * work.seconds * memory,
        A_GB_SECOND,
        LAMBDA,
    )
    yield Line("Lambda: requests", PICTURES * CALLS, A_CALL, LAMBDA)
    yield Line("S3: writes (the upload, the renditions)", PICTURES * (1 + RENDITIONS), A_WRITE, S3)
    yield Line("S3: reads (Validate, each Resize)", PICTURES * CALLS, A_READ, S3)
    # Claim: the row and its entries in both indexes, 1 KB each. Record: 2 KB of row, and in both indexes one entry out
    # and one in, which has 2 KB in `by-status`.
    yield Line("DynamoDB: write units", PICTURES * (1 + 1 + 1 + 2 + 1 + 2 + 1 + 1), A_WRITE_UNIT, DYNAMODB)
    yield Line("EventBridge: events of S3", PICTURES, 1.00 / 1_000_000, EVENTS)
    gigabytes = PICTURES * work.logged / 1e9
    yield Line(f"CloudWatch: GB of logs ({work.logged / 1000:.1f} kB a picture)", gigabytes, 0.50, CLOUDWATCH)


def of_express() -> list[Line]:
    """Of Step Functions and of the log that it writes."""
    logged = LOGGED_BYTES + LOGGED_EVENTS * BYTES_OF_AN_EVENT
    return [
        Line("Step Functions: Express executions", PICTURES, AN_EXPRESS_REQUEST, STATES),
        Line(
            f"Step Functions: GB-seconds ({EXPRESS_SECONDS:.0f} s of 64 MB assumed)",
            PICTURES * EXPRESS_SECONDS * EXPRESS_GB,
            AN_EXPRESS_GB_SECOND,
            STATES,
        ),
        Line(
            f"Step Functions: GB of its log ({logged / 1000:.0f} kB a picture)",
            PICTURES * logged / 1e9,
            0.50,
            CLOUDWATCH,
        ),
    ]


def besides(work: Work) -> list[Line]:
    """What some of them cost more, or later."""
    stored = PICTURES * (work.read / CALLS + work.written) / 1e9
    asking = SETTINGS.functions.caption.memory / 1024 * (2.5 + S3_ANSWERS)  # seconds, assumed: the model's
    return [
        Line("storage a month: GB of uploads and renditions", stored, A_GB_STORED, STORAGE),
        Line("captions: transitions", PICTURES, A_TRANSITION, STATES),
        Line("captions: 1,500 tokens in of amazon.nova-lite", PICTURES * 1500, 0.06 / 1_000_000, BEDROCK),
        Line("captions: 30 tokens out", PICTURES * 30, 0.24 / 1_000_000, BEDROCK),
        Line("captions: GB-seconds, 2.5 s of waiting assumed", PICTURES * asking, A_GB_SECOND, LAMBDA),
        Line("an overwrite: transitions (Cleanup)", PICTURES, A_TRANSITION, STATES),
        Line("an overwrite: S3 listings", PICTURES * 2, A_WRITE, S3),
        Line("events: one on the bus", PICTURES, 1.00 / 1_000_000, EVENTS),
        Line("events: a call of Announce, 0.1 s of 256 MB assumed", PICTURES, A_CALL + 0.1 / 4 * A_GB_SECOND, LAMBDA),
        Line("webhook: a call of Notify, 0.5 s of 256 MB assumed", PICTURES, A_CALL + 0.5 / 4 * A_GB_SECOND, LAMBDA),
        Line("webhook: requests of SQS", PICTURES * 3, 0.40 / 1_000_000, SQS),
        # The answer in the row: 2 KB, and in the index one entry.
        Line("webhook: DynamoDB write units", PICTURES * (2 + 2), A_WRITE_UNIT, DYNAMODB),
        Line("with `tracing`: traces of X-Ray", PICTURES, 5 / 1_000_000, CLOUDWATCH),
        *of_the_api(),
        *of_views(),
    ]


def of_the_api() -> list[Line]:
    """1,000 requests, and what a client costs that waits for its picture."""
    second = SETTINGS.functions.api.memory / 1024
    return [
        Line("the API: requests", 1000, 1.00 / 1_000_000, API_GATEWAY),
        Line("the API: GB-seconds, 100 ms assumed", 1000 * 0.1 * second, A_GB_SECOND, LAMBDA),
        Line("the API: requests of Lambda", 1000, A_CALL, LAMBDA),
        Line("the API: GB of its two logs, 1.5 kB a request assumed", 1000 * 1500 / 1e9, 0.50, CLOUDWATCH),
        Line("the API: GB-seconds of a second with `Prefer: wait`", 1000 * second, A_GB_SECOND, LAMBDA),
    ]


def of_views() -> list[Line]:
    """1,000 views of a picture of 60 kB, of which CloudFront's cache answers nine in ten; and 1,000 new sizes."""
    views, missed, kilobytes = 1000, 100, 60
    second = SETTINGS.functions.deliver.memory / 1024
    return [
        Line("1,000 views: requests of CloudFront", views, 1.00 / 1_000_000, CLOUDFRONT),
        Line("1,000 views: GB to the viewers, 60 kB each assumed", views * kilobytes / 1e6, 0.085, CLOUDFRONT),
        Line("1,000 views: calls of the CloudFront Function", views, 0.10 / 1_000_000, CLOUDFRONT),
        Line("1,000 views, 100 missed: GB-seconds, 100 ms assumed", missed * 0.1 * second, A_GB_SECOND, LAMBDA),
        Line("1,000 views, 100 missed: requests of Lambda", missed, A_CALL, LAMBDA),
        Line("1,000 views, 100 missed: S3 reads", missed, A_READ, S3),
        Line("1,000 views, 100 missed: DynamoDB read units", missed, 0.125 / 1_000_000, DYNAMODB),
        Line("1,000 views, 100 missed: GB of logs, 1 kB assumed", missed * 1000 / 1e9, 0.50, CLOUDWATCH),
        Line("1,000 new sizes: GB-seconds, 0.5 s assumed", PICTURES * 0.5 * second, A_GB_SECOND, LAMBDA),
        Line("1,000 new sizes: S3 writes", PICTURES, A_WRITE, S3),
    ]


def monthly() -> list[Line]:
    """Whether or not there are pictures; 10 alarms and 10 metrics of an account are free."""
    sweeps = 30 * 24 * 4
    return [
        Line("alarms", ALARMS, 0.10, CLOUDWATCH),
        Line("metrics of our own, at most", METRICS, 0.30, CLOUDWATCH),
        Line("dashboard", 1, 3.00, CLOUDWATCH),
        Line(
            "sweeps: GB-seconds, 1 s each assumed", sweeps * SETTINGS.functions.sweep.memory / 1024, A_GB_SECOND, LAMBDA
        ),
        Line("the secret of the webhook, or of signed URLs, where there is one", 1, 0.40, SECRETS),
        Line("a key of your own, where there is one", 1, 1.00, KMS),
    ]


def measured(photo: Photo) -> Work:
    """The deployed handlers on one photo, as Lambda calls them."""
    begin(f"cost: {photo.path.name}")
    os.environ.update(SETTINGS.for_validate(), RENDITIONS_BUCKET="renditions", POWERTOOLS_SERVICE_NAME="resize")
    from functions import resize, telemetry, validate  # the environment comes first, as on Lambda

    storage = FromMemory(photo.data)
    written = io.StringIO()
    telemetry.logger.registered_handler.stream = written  # type: ignore[attr-defined]
    with redirect_stdout(written):  # metrics are printed
        request = {"source": source(photo), "execution": EXECUTION}
        verdict = validate.handler(request, CONTEXT, storage)
        calls: list[Callable[[], Any]] = [partial(validate.handler, request, CONTEXT, storage)]
        for rendition in verdict["renditions"]:
            asked = {"source": verdict["source"], "rendition": rendition, "execution": EXECUTION}
            calls.append(partial(resize.handler, asked, CONTEXT, storage))
        storage.read_bytes = storage.written_bytes = 0
        written.seek(0)
        written.truncate()
        spent = least(calls, rounds=1)
    printed = written.getvalue().splitlines(keepends=True)
    events = [*printed, *LAMBDAS_OWN_LINES * len(calls)]
    logged = sum(len(line.encode()) + BYTES_OF_AN_EVENT for line in events)
    return Work(sum(one.cpu for one in spent), storage.read_bytes, storage.written_bytes, logged)


ACCOUNT = "us-east-1:123456789012"
EXECUTION = (
    f"arn:aws:states:{ACCOUNT}:execution:WorkflowImagePipelineMachineABCDEFGH-AbCdEfGhIjKl:"
    "17793124-05d4-b198-2fde-7ededc63b103_17793124-05d4-b198-2fde-7ededc63b103"
)
CONTEXT: Any = SimpleNamespace(
    function_name="Darkroom-StepsResizeFunction01234567-AbCdEfGhIjKl",
    memory_limit_in_mb=SETTINGS.functions.resize.memory,
    invoked_function_arn=f"arn:aws:lambda:{ACCOUNT}:function:Darkroom-StepsResizeFunction01234567-AbCdEfGhIjKl",
    aws_request_id=REQUEST,
)


def source(photo: Photo) -> dict[str, str]:
    return {"bucket": "uploads", "key": f"raw/{photo.path.name}", "version_id": "null", "etag": "0" * 32}
