"""The canned answer of a model reads like a caption, and says that it is canned: MiniStack's reads like an error."""

from typing import Any

from ministack.services import bedrock_runtime

CANNED = "A bright sun in a pale sky above rows of green hills. (Canned text: the local cloud has no model.)"


def add() -> None:
    """A real model, where one is set, answers as before."""
    this: Any = bedrock_runtime
    this._mock_reply = lambda *_: CANNED
