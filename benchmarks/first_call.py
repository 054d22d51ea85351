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


def deliver(picture: str) -> None:
    """Of a size that is stored, which most first views are."""
    import importlib
    from pathlib import Path

    answers = Answers(Path(picture))
    answers.stored = answers.original
    answer_by(answers)
    answer = importlib.import_module("functions.deliver").handler(view("w_640"), _context("deliver"))
    if answer["statusCode"] != 200:
        sys.exit(f"deliver: {answer}")


def of_any_commit(name: str, picture: str, focus: str, *more: str) -> None:
    """A call for each of `more`, which is JSON: of a function as it is now, or as it once was. `focus` is what the
    picture's uploader wrote about it."""
    import importlib
    import json

    for one in more:
        _call(name, picture, json.loads(one), focus)
    step = importlib.import_module(f"functions.{name}")
    if hasattr(step, "examiner"):
        step.examiner().close()  # so that its CPU is counted


def _call(name: str, picture: str, more: dict[str, Any], focus: str = "") -> None:
    import importlib
    from pathlib import Path

    answer_by(Answers(Path(picture), focus))
    step = importlib.import_module(f"functions.{name}")
    source = {"bucket": "uploads", "key": "raw/photo.jpg", "version_id": "1", "etag": "1"}
    answer = step.handler({"source": source, "execution": "arn", **more}, _context(name))
    if answer.get("accepted") is False or answer.get("status") == "FAILED":
        sys.exit(f"{name}: {answer}")


def _context(name: str) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(
        function_name=name, memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="request"
    )


def view(options: str) -> dict[str, Any]:
    """A viewer's request, signed by the secret that `Answers` knows."""
    import base64
    import hashlib
    import hmac

    path = f"{options}/raw/photo.jpg"
    digest = hmac.digest(SECRET.encode(), path.encode(), hashlib.sha256)[:20]
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {"rawPath": f"/i/{signature}/{path}", "headers": {"accept": "image/webp"}}


SECRET = "a secret"


def answer_by(answers: "Answers") -> None:
    import boto3

    boto3.setup_default_session()
    assert boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION.events.register("before-send", answers)


class Answers:
    """Of S3 the original, and what is stored of other sizes; one sentence of Bedrock; a row; a secret."""

    def __init__(self, picture: Any, focus: str = "") -> None:
        self.original: bytes = picture.read_bytes()
        self.stored: bytes | None = None
        self._focus = {"x-amz-meta-focus": focus} if focus else {}

    def __call__(self, request: Any, **_: Any) -> Any:
        from io import BytesIO

        from botocore.awsrequest import AWSResponse
        from botocore.compat import HTTPHeaders

        status, body = self._answer(request)
        raw = BytesIO(body)
        raw.stream = lambda **_: iter([body])  # type: ignore[attr-defined]
        headers = HTTPHeaders.from_dict({"content-length": str(len(body)), **self._focus})
        return AWSResponse(request.url, status, headers, raw)

    def _answer(self, request: Any) -> tuple[int, bytes]:
        import json

        if "/converse" in request.url:
            message = {"role": "assistant", "content": [{"text": "Hills under a sun."}]}
            usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
            return 200, json.dumps({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}).encode()
        if "dynamodb" in request.url:
            return 200, json.dumps({"Item": self._row()}).encode()
        if "secretsmanager" in request.url:
            return 200, json.dumps({"SecretString": SECRET}).encode()
        if request.method != "GET":
            return 200, b""
        if "/derived/" in request.url:
            return (404, b"<Error><Code>NoSuchKey</Code></Error>") if self.stored is None else (200, self.stored)
        return 200, self.original

    def _row(self) -> dict[str, Any]:
        """Of a picture of 12 megapixels."""
        size = {"width": {"N": "4000"}, "height": {"N": "3000"}}
        rendition = {"key": {"S": "photo.jpg/0123456789abcdef/large.webp"}, "format": {"S": "webp"}, **size}
        texts = {name: {"S": text} for name, text in {"status": "SUCCEEDED", "version_id": "1", "etag": "1"}.items()}
        return {**texts, **size, "renditions": {"M": {"large": {"M": rendition}}}}
