"""What 1,000 pictures cost on AWS at list prices of us-east-1, from the seconds measured here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.clock import least
from benchmarks.photos import LIMITS, SETTINGS, Photo, targets
from benchmarks.report import Figure, begin, show
from functions.imaging import examine, render

PICTURES = 1000
TRANSITIONS = 12  # of one picture with four renditions and captions off; tests/statemachine counts them
RENDITIONS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """`price`: USD for one. `source`: the page it was read on, 2026-11-24; AWS's own pages hide most prices in
    scripts, so that all but the first are read elsewhere."""

    what: str
    count: float
    price: float
    source: str

    @property
    def usd(self) -> float:
        return self.count * self.price


def lines(seconds: float) -> list[Line]:
    """`seconds`: of all functions together, for one picture."""
    gigabytes = SETTINGS.functions.resize.memory / 1024
    lambdas = "https://cloudchipr.com/blog/aws-lambda-pricing"
    s3 = "https://c3x.dev/blog/s3-request-fees-explained"
    return [
        Line(
            "Step Functions: transitions",
            PICTURES * TRANSITIONS,
            0.025 / 1000,
            "https://aws.amazon.com/step-functions/pricing/",
        ),
        # The time that S3 takes to answer is not in it.
        Line(
            f"Lambda, arm64: GB-seconds ({seconds:.2f} s of CPU here)",
            PICTURES * seconds * gigabytes,
            0.0000133334,
            lambdas,
        ),
        Line("Lambda: requests", PICTURES * (1 + RENDITIONS), 0.20 / 1_000_000, lambdas),
        Line("S3: writes (the upload, the renditions)", PICTURES * (1 + RENDITIONS), 0.005 / 1000, s3),
        Line("S3: reads (Validate, each Resize)", PICTURES * (1 + RENDITIONS), 0.0004 / 1000, s3),
        # Claim: the row and its index entry, 1 KB each. Record: 2 KB of row, and in the index one entry out, one in.
        Line(
            "DynamoDB: write units",
            PICTURES * (1 + 1 + 2 + 1 + 2),
            0.625 / 1_000_000,
            "https://airbyte.com/data-engineering-resources/dynamodb-pricing",
        ),
        Line(
            "EventBridge: events (free by some accounts)",
            PICTURES,
            1.00 / 1_000_000,
            "https://blog.awsfundamentals.com/aws-eventbridge-pricing-guide",
        ),
        Line(
            "CloudWatch: GB of logs, 30 kB a picture assumed",
            PICTURES * 30 / 1_000_000,
            0.50,
            "https://hykell.com/knowledge-base/aws-cloudwatch-logs-pricing",
        ),
    ]


def measure(photos: Sequence[Photo]) -> list[Figure]:
    """Print the table; no bar was set for it."""
    seconds = median(_seconds(photo) for photo in photos)
    made = lines(seconds)
    total = sum(line.usd for line in made)
    rows = [(line.what, f"{line.count:,.2f}", f"{line.usd:.4f}", line.source) for line in made]
    show(("1,000 pictures", "count", "USD", "price"), [*rows, ("together", "", f"{total:.4f}", "")])
    return []


def _seconds(photo: Photo) -> float:
    begin(f"cost: {photo.path.name}")
    works = [partial(render, photo.data, target) for target in targets(photo.facts, "webp").values()]
    return sum(spent.cpu for spent in least([partial(_validate, photo.data), *works], rounds=1))


def _validate(data: bytes) -> None:
    examine(data, LIMITS)
    hashlib.sha256(data).hexdigest()
