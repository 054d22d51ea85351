"""The whole way of a set of pictures, to be looked at: what `make demo` shows."""

import json
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from darkroom.cli.terminal import say, show_table, step
from darkroom.cli.upload import COLUMNS, explain, line, say_left_out
from darkroom.cli.watch import watch
from darkroom.errors import TargetError
from darkroom.local.cloud import Cloud
from darkroom.pipeline import files, links, results, uploads
from darkroom.pipeline.histories import NoExecutionError
from darkroom.pipeline.target import STACK, Target, local

DRAWN = "demo"  # folder in the cloud's home

SIZE = 640  # pixels, the width of a picture that is shown at the end

PATIENCE = 300  # seconds after the last upload for all pictures together, then for the event delivered again

COLD = """
The first pictures of a new cloud wait until its functions have started. On AWS that is a cold start."""

CANNED = """
The captions are canned text, because the local cloud has no model. To get real ones: `make down`, set
MINISTACK_BEDROCK_PROXY_URL to the address of an OpenAI-compatible server, `make demo`."""

NEXT = """
Renditions  s3://{RenditionsBucketName}
Rows        DynamoDB table {ResultsTableName}

Try next:
  export PATH="$PWD/.venv/bin:$PATH"
  darkroom console                      shows all of it in the browser
  darkroom upload PATH...               uploads your own pictures
  darkroom results {key}
  darkroom inspect {key}
  darkroom open {key}
  darkroom get {key}
  darkroom results --status REJECTED    shows what was rejected, and why
  eval "$(darkroom env)"                lets the AWS command line talk to it:
  aws s3 ls --recursive s3://{RenditionsBucketName}
  make down                             stops it; the pictures stay for the next `darkroom up`"""

SHOWN = """
A picture, and the same in a size that nobody has asked for before. A browser shows them when it trusts the certificate
(docs/delivery.md), curl with --cacert {authority}:
  {rendition}
  {sized}"""


def draw(cloud: Cloud) -> None:
    """The demo's own pictures."""
    from darkroom.local import pictures

    pictures.draw(cloud.home / DRAWN)


def run(cloud: Cloud, pictures: Path | None, stack: str = STACK) -> None:
    """Upload the pictures of a folder, or those that were drawn, follow each to its end, and show what became of them.

    Raises DarkroomError if one has not ended in a verdict: a success or a rejection.
    """
    target = local(cloud, stack)
    chosen = files.choose([pictures or cloud.home / DRAWN], target.upload_prefix)
    say_left_out(chosen)
    ended, _ = watch(target, chosen.files, PATIENCE)
    ended.sort(key=lambda end: end.upload.key)
    show_table(COLUMNS, map(line, ended))
    explain(ended)
    uploads.require_verdicts(ended)
    if not ended:
        raise TargetError("no picture could be read")
    with step(f"Delivering the event of {ended[0].upload.key} a second time, which ends as a Duplicate"):
        _deliver_again(target, ended[0])
    say(COLD)
    if cloud.bedrock is None:
        say(CANNED)
    made = next((end for end in ended if end.status == "SUCCEEDED"), ended[0])  # one that has files to get
    say(NEXT.format(**target.outputs, key=shlex.quote(made.upload.key)))
    if made.row and (urls := links.renditions(target, made.row)):
        sized = links.signed(target, made.upload.key, {"w": SIZE, "f": "auto"})
        authority = cloud.variables()["AWS_CA_BUNDLE"]
        say(SHOWN.format(authority=authority, rendition=[*urls.values()][-1], sized=sized))


def _deliver_again(target: Target, ended: uploads.Ended) -> None:
    """What EventBridge may do at any time: it delivers at least once. Raises TargetError if it is not noticed."""
    assert ended.row is not None  # every verdict is in a row
    event = json.dumps(results.event(target, ended.row))
    again = target.states.start_execution(stateMachineArn=target.output("StateMachineArn"), input=event)["executionArn"]
    deadline = time.monotonic() + PATIENCE
    execution: dict[str, Any] = {"status": "RUNNING"}
    while True:
        with suppress(NoExecutionError):  # a log is some seconds behind
            execution = target.history(again).described(again)
        if execution["status"] != "RUNNING" or time.monotonic() > deadline:
            break
        time.sleep(uploads.POLL_SECONDS)
    said = json.loads(execution.get("output", "{}")).get("status", execution["status"])
    if said != "Duplicate":
        raise TargetError(f"the event of {ended.upload.key}, delivered a second time, is {said}, not Duplicate")
