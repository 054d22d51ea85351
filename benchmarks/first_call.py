"""What a new process does: the real handlers on the real clients, whose requests are answered here instead of sent.

Everything is imported inside the functions, so that it counts.
"""

import sys
from typing import Any


def nothing() -> None:
    """The imports that every function of this kind has to pay for."""
    import boto3
    from PIL import Image  # noqa: F401

    boto3.client("s3")


def validate(picture: str) -> int:
    """Ends the process beside it, so that its CPU is counted, and answers with the KB by which both had more than this
    one at its peak. This one waits while the other is at its own peak."""
    from pathlib import Path

    from functions.validate import examiner

    _call("validate", picture, {})

    def kilobytes(file: str, *names: str) -> int:
        lines = Path("/proc", file).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in names)

    other = str(examiner().process)
    both = kilobytes("self/status", "VmRSS") + kilobytes(f"{other}/status", "VmHWM")
    shared = kilobytes(f"{other}/smaps_rollup", "Shared_Clean", "Shared_Dirty")
    examiner().close()
    return max(0, both - shared - kilobytes("self/status", "VmHWM"))


def resize(picture: str, rendition: str) -> None:
    import json

    _call("resize", picture, {"rendition": {"name": "large", "key": "large.webp", **json.loads(rendition)}})


def caption(picture: str) -> None:
    _call("caption", picture, {})


def _call(name: str, picture: str, more: dict[str, Any]) -> None:
    import importlib
    from types import SimpleNamespace

    import boto3

    boto3.setup_default_session()
    assert boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION.events.register("before-send", lambda request, **_: _answer(request, picture))
    step = importlib.import_module(f"functions.{name}")
    source = {"bucket": "uploads", "key": "raw/photo.jpg", "version_id": "1", "etag": "1"}
    context = SimpleNamespace(
        function_name=name, memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="request"
    )
    answer = step.handler({"source": source, "execution": "arn", **more}, context)
    if answer.get("accepted") is False or answer.get("status") == "FAILED":
        sys.exit(f"{name}: {answer}")


def _answer(request: Any, picture: str) -> Any:
    """The original for S3's GetObject, nothing for its PutObject, one sentence for Bedrock's Converse."""
    import json
    from io import BytesIO
    from pathlib import Path

    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    body = Path(picture).read_bytes() if request.method == "GET" else b""
    if "/converse" in request.url:
        message = {"role": "assistant", "content": [{"text": "Hills under a sun."}]}
        usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        body = json.dumps({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}).encode()
    raw = BytesIO(body)
    raw.stream = lambda **_: iter([body])  # type: ignore[attr-defined]
    return AWSResponse(request.url, 200, HTTPHeaders.from_dict({"content-length": str(len(body))}), raw)
