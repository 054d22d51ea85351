"""The whole way of a set of pictures, to be looked at: what `make demo` shows."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from darkroom import uploads
from darkroom.cloud import Cloud
from darkroom.target import Target, local
from darkroom.terminal import say, seconds, show_table, step

PATIENCE = 300  # seconds for all pictures together

CANNED = """
The captions are canned text: that is how the local cloud answers Bedrock. Set MINISTACK_BEDROCK_PROXY_URL to an
OpenAI-compatible server before `darkroom up`, and a real model answers."""

NEXT = """
Renditions  s3://{RenditionsBucketName}
Rows        DynamoDB table {ResultsTableName}

Try next:
  export PATH="$PWD/.venv/bin:$PATH"
  darkroom upload PATH...               your own pictures
  darkroom results {key}
  darkroom inspect {key}
  darkroom results --status REJECTED    what was refused, and why
  eval "$(darkroom env)"                and the plain AWS command line talks to it:
  aws s3 ls --recursive s3://{RenditionsBucketName}
  make down                             stops it; the pictures stay for the next `darkroom up`"""


def run(cloud: Cloud, pictures: Path | None) -> bool:
    """Upload the pictures of a folder, or the demo's own, follow each to its end, and show what became of them.

    True if each has ended in a verdict: a success or a rejection.
    """
    target = local(cloud)
    if pictures is None:
        from darkroom.pictures import draw

        pictures = cloud.home / "demo"
        with step(f"Drawing pictures into {pictures}"):
            draw(pictures)
    files = uploads.keys([pictures], target.upload_prefix)
    ended = sorted(uploads.watch(target, files, PATIENCE), key=lambda end: end.upload.key)
    with step("Delivering the event of one picture a second time"):
        duplicate = _deliver_again(target, ended[0])

    show_table(uploads.COLUMNS, [*map(uploads.line, ended), duplicate])
    if "MINISTACK_BEDROCK_PROXY_URL" not in os.environ:
        say(CANNED)
    say(NEXT.format(**target.outputs, key=ended[0].upload.key))
    return all(end.fine for end in ended)


def _deliver_again(target: Target, ended: uploads.Ended) -> Sequence[object]:
    """What EventBridge may do at any time: it delivers at least once. The line of the table for it."""
    states = target.states
    assert ended.row is not None  # whatever ended has one
    event = states.describe_execution(executionArn=ended.row["execution"])["input"]
    again = states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=event)
    while (execution := states.describe_execution(executionArn=again["executionArn"]))["status"] == "RUNNING":
        time.sleep(uploads.POLL_SECONDS)
    took = (execution["stopDate"] - execution["startDate"]).total_seconds()
    said = json.loads(execution.get("output", "{}")).get("status", execution["status"])
    return (f"{ended.upload.key} (its event again)", said, seconds(took), "", "")
