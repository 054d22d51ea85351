"""Caption: one question to the model, and an answer whatever happens."""

import io
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.stub import ANY, Stubber
from PIL import Image

from darkroom.local.pictures import photo
from functions import caption
from functions.storage import storage


def answer(text: str, stop: str = "end_turn") -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop,
        "usage": {"inputTokens": 1200, "outputTokens": 12, "totalTokens": 1212},
        "metrics": {"latencyMs": 5},
    }


@pytest.fixture
def model():
    """Bedrock's client, its answers stubbed: it checks each request against the service's own model."""
    client = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))
    with Stubber(client) as stub:
        yield stub


@pytest.fixture
def ask(upload, call, model):
    def asked(data: bytes = b"") -> Any:
        return call(caption, upload("raw/cat.jpg", data or photo(300, 200)), storage(), model.client)

    return asked


def test_it_asks_with_a_small_picture_and_the_settings(ask, model):
    """A JPEG of at most 1568 px and 3.75 MB; prompt, model and inference settings as set, none that was not."""
    asked: dict[str, Any] = {}
    model.client.meta.events.register(
        "provide-client-params.bedrock-runtime.Converse", lambda params, **_: asked.update(params)
    )
    model.add_response("converse", answer("A cat."), {"modelId": ANY, "messages": ANY, "inferenceConfig": ANY})
    ask(photo(2000, 1000))
    assert asked["modelId"] == "a.model-v1:0"
    assert asked["inferenceConfig"] == {"maxTokens": 50, "topP": 0.9}
    image, text = asked["messages"][0]["content"]
    assert text == {"text": "Say what you see."}
    sent = image["image"]["source"]["bytes"]
    assert len(sent) <= 3_750_000
    with Image.open(io.BytesIO(sent)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (1568, 784))


def test_the_text_comes_back_with_its_tokens(ask, model, log_lines):
    """What the row holds, and what the metrics count."""
    model.add_response("converse", answer("A cat."))
    assert ask() == {
        "status": "OK",
        "model": "a.model-v1:0",
        "text": "A cat.",
        "input_tokens": 1200,
        "output_tokens": 12,
    }
    [metrics] = [line for line in log_lines() if "CaptionInputTokens" in line]
    assert (metrics["CaptionInputTokens"], metrics["CaptionOutputTokens"]) == ([1200.0], [12.0])
    assert metrics["CaptionsFailed"] == [0.0]  # so that the mean is the share of those that failed


def test_the_text_is_one_bounded_line(ask, model):
    """Whatever a picture makes a model say is stored as plain text of at most 1,000 characters."""
    model.add_response("converse", answer("A\ncat\x00 \x1b[31m" + "x" * 5000))
    text = ask()["text"]
    assert text.startswith("A cat [31mxxx")
    assert len(text) == 1000


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "ModelErrorException"])
def test_a_model_that_refuses_is_recorded(ask, model, code, log_lines):
    """The failure is an answer, with its reason; nothing is raised. It counts as one."""
    model.add_client_error("converse", code, "not now")
    failed = ask()
    assert failed["status"] == "FAILED"
    assert failed["model"] == "a.model-v1:0"
    assert code in failed["reason"]
    assert counted(log_lines()) == [[1.0]]


@pytest.mark.parametrize("code", sorted(caption.BUSY))
def test_a_model_that_has_no_room_is_raised(ask, model, code, log_lines):
    """For the state machine to come again; as no caption that failed, because it may yet be made."""
    model.add_client_error("converse", code, "Too many requests")
    with pytest.raises(caption.ModelBusy, match=f"throttled, or no answer: .*{code}.*Too many requests"):
        ask()
    assert counted(log_lines()) == []


@pytest.mark.parametrize("error", [ReadTimeoutError, EndpointConnectionError])
def test_a_model_that_does_not_answer_is_raised_too(upload, call, error):
    class Silent:
        def converse(self, **_: object) -> None:
            raise error(endpoint_url="https://bedrock-runtime")

    with pytest.raises(caption.ModelBusy, match="bedrock-runtime"):
        call(caption, upload("raw/cat.jpg", photo(300, 200)), storage(), Silent())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            {
                "Error": "ModelBusy",
                "Cause": '{"errorMessage": "throttled, or no answer: not now", "errorType": "ModelBusy"}',
            },
            "ModelBusy: throttled, or no answer: not now",
        ),
        ({"Error": "States.Timeout"}, "States.Timeout"),
        ({"Error": "Lambda.Unknown", "Cause": "the process died"}, "Lambda.Unknown: the process died"),
        ({"Error": "RuntimeError", "Cause": '{"errorMessage": "cut sh'}, 'RuntimeError: {"errorMessage": "cut sh'),
        ({"Error": "RuntimeError", "Cause": '["no object"]'}, 'RuntimeError: ["no object"]'),
    ],
)
def test_what_the_state_machine_gave_up_is_counted_and_said(call, error, reason, log_lines):
    """Neither the picture nor the model is asked for."""
    assert call(caption, {"key": "raw/cat.jpg"}, error=error) == {
        "status": "FAILED",
        "model": "a.model-v1:0",
        "reason": reason,
    }
    assert counted(log_lines()) == [[1.0]]


@pytest.mark.parametrize(("text", "stop"), [("", "end_turn"), ("blocked", "guardrail_intervened")])
def test_an_answer_that_is_none_is_a_failed_caption(ask, model, text, stop):
    """Neither an empty text nor a guardrail's notice becomes alt text."""
    model.add_response("converse", answer(text, stop))
    assert ask() == {"status": "FAILED", "model": "a.model-v1:0", "reason": f"the model gave no text: {stop}"}


def test_the_client_asks_once_and_leaves_time_for_the_picture():
    """25 of the function's 60 s. It is the state machine that comes again."""
    config = caption.bedrock().meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.connect_timeout + config.read_timeout <= 60 - 25


def counted(lines: list[dict[str, Any]]) -> list[Any]:
    """Whether captions failed, each as 0 or 1."""
    return [line["CaptionsFailed"] for line in lines if "CaptionsFailed" in line]
