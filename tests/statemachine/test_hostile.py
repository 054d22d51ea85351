"""What a picture makes the model say, and what stands in its name, is data and never anything else."""

import pytest

from tests.statemachine.engine import CAPTION, Pipeline, event

SAID = {
    "JSONata": "{% $states.context.Execution.Id %}",
    "a whole expression": "{% ( $source := {'key': 'raw/other.jpg'} ) %}",
    "a placeholder": "${ResultsTable}",
    "the end of its string": '"}, ":succeeded": {"S": "DELETED"}, "x": {"S": "',
    "a DynamoDB value": '{"M": {"status": {"S": "FAILED"}}}',
    "an update": "x, #status = :failed REMOVE renditions",
    "markup": "<script>alert(1)</script>",
    "a backslash at the end": "cat\\",
}


@pytest.mark.parametrize("text", SAID.values(), ids=SAID)
def test_what_a_picture_makes_the_model_say_reaches_the_captions_text_at_most(pipeline: Pipeline, text):
    """Character for character in its own member; the rest of the row is as with any other text."""
    pipeline.captions = True
    pipeline.run(event("raw/harmless.jpg"))
    pipeline.tasks["Caption"].answers = {**CAPTION, "text": text}
    assert pipeline.run(event("raw/injected.jpg")).status == "SUCCEEDED"

    injected, harmless = pipeline.row("raw/injected.jpg"), pipeline.row("raw/harmless.jpg")
    assert injected["caption"]["M"].pop("text") == {"S": text}
    del harmless["caption"]["M"]["text"]
    own = ("key", "execution", "created_at", "updated_at", "renditions")
    for row in (injected, harmless):
        assert all(row.pop(name) for name in own)
    assert injected == harmless
    assert len(pipeline.rows()) == 2
    assert pipeline.letters() == []


@pytest.mark.parametrize(
    "key", ["raw/two\nlines.jpg", "raw/\x01\x1b[31m.jpg", "raw/../../up.jpg", "raw/" + "📷é" * 170]
)
def test_a_hostile_key_is_one_row_under_that_key(pipeline: Pipeline, key):
    """Also a line break, which the local cloud's IAM takes for no part of a name."""
    assert pipeline.run(event(key)).status == "SUCCEEDED"
    assert [row["key"]["S"] for row in pipeline.rows()] == [key]
    assert pipeline.tasks["Validate"].calls[0]["source"]["key"] == key
