"""Every expression of every state machine, in the engine's JSONata and in the one that AWS names: version 2.0.6 of
https://www.npmjs.com/package/jsonata.

What an expression is given was recorded while the engine ran it. Then each value that it reads is replaced by others.
"""

import copy
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.jsonata.jsonata import extract_jsonata_variable_references

from tests.statemachine.engine import (
    DELETION,
    FILES,
    Pipeline,
    accepts,
    deletion,
    evaluated,
    event,
    rejects,
)
from tests.statemachine.test_definition import strings

REFERENCE = Path(__file__).with_name("reference.js")
PLACEHOLDERS = {"CaptionsEnabled": ["true", "false"]}  # those that stand within an expression
NOW = "$now := function() { '2026-01-02T03:04:05.678Z' };"

Json = Any
Variables = dict[str, Json]
Path_ = tuple[str | int, ...]

CAMERA = "📷"  # two units of UTF-16, in which JavaScript counts
LONG = "x" * 1023 + CAMERA + "é" * 10
MISSING = object()
OTHERS: dict[str, Json] = {
    "missing": MISSING,
    "null": None,
    "empty": "",
    "text": 'it\'s "q", \\ {% $x %}\n',
    "long": LONG,
    "wrapped": json.dumps({"errorMessage": LONG}, ensure_ascii=False),
    "wrapped, all of two units but one": json.dumps({"errorMessage": "x" + CAMERA * 1100}, ensure_ascii=False),
    "wrapped, cut short": json.dumps({"errorMessage": LONG}, ensure_ascii=False)[:500],
    "0": 0,
    "negative": -1,
    "fraction": 0.1,
    "largest of S3": 50_000_000_000_000,
    "10^15": 10**15,
    "true": True,
    "false": False,
    "empty list": [],
    "list of one": [{"name": "thumb"}],
    "list of two": ["a", 2],
    "list of null": [None],
    "empty object": {},
    "object": {"status": "OK", "b": [1], "c": {"d": None}},
}

LARGE = "$string writes an exponent from 10^15 on; the largest object of S3 has 5 * 10^13 bytes"
NULL = "the reference counts a null as one; what a Map gave is a list, and has none"
PLAN = "the reference counts a null as one: then the Map fails for its Items, and not by $error"
DIFFERENT = {
    "10^15": LARGE,
    "states.input.renditions: null": PLAN,
    "states.result: null": NULL,
    "renditions: null": NULL,
}


def written() -> list[str]:
    """Every expression of every file, with its placeholders filled in each way."""
    texts = {text for file in FILES.rglob("*.asl.json") for text in strings(json.loads(file.read_text()))}
    found = {text[2:-2].strip() for text in texts if text.startswith("{%")}
    for name, values in PLACEHOLDERS.items():
        found = {text.replace(f"${{{name}}}", value) for text in found for value in values}
    return sorted(found)


def recorded(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Variables]]:
    """What each expression was given in executions that lead to every state."""
    given: dict[str, list[Variables]] = {}
    evaluate = StringJSONata._eval_body

    def recording(expression: StringJSONata, env: Any) -> None:
        store = env.variable_store
        variables = {"states": env.states._states_data, **store._outer_scope, **store._inner_scope}
        given.setdefault(expression.expression.strip(), []).append(json.loads(json.dumps(variables, default=str)))
        evaluate(expression, env)

    monkeypatch.setattr(StringJSONata, "_eval_body", recording)
    first = pipeline.run(event())
    pipeline.run(event())
    pipeline.run(event("raw/unversioned.jpg", version=None))
    pipeline.captions = True
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=2)
    pipeline.run(event("raw/redriven.jpg"), redrives=first)
    pipeline.tasks["Record"].fails_with("DynamoDB.ConditionalCheckFailedException", times=1)
    pipeline.run(event(sequencer="0B"))
    for sequencer, task in enumerate(("Caption", "Cleanup", "Resize"), start=12):
        pipeline.tasks[task].fails_with("RuntimeError", times=3)
        pipeline.run(event(sequencer=f"{sequencer:02X}"))
    for tasks in (("Caption",), ("Caption", "NoCaption"), ()):
        for task in tasks:
            pipeline.tasks[task].fails_with("RuntimeError", times=3)
        pipeline.run(event("raw/captioned.jpg", sequencer="0C"))
        pipeline.recaption("raw/captioned.jpg")
    pipeline.tasks["Validate"].answers = rejects
    pipeline.run(event(f"raw/{CAMERA}.jpg"))
    pipeline.run(deletion(), machine=DELETION)
    pipeline.upload()
    pipeline.run(deletion(sequencer="0F"), machine=DELETION)  # and the upload is made anew
    pipeline.run(deletion("raw/redriven.jpg", version="v1", marker=False), machine=DELETION)
    pipeline.tasks["MarkDeleted"].fails_with("DynamoDB.InternalServerError", times=6)
    pipeline.run(deletion("raw/unversioned.jpg"), machine=DELETION)
    pipeline.tasks["MarkDeleted"].fails_with("DynamoDB.InternalServerError", times=6)
    pipeline.tasks["DeadLetter"].fails_with("SQS.AmazonSQSException")
    pipeline.run(deletion("raw/no letter.jpg"), machine=DELETION)
    return given


def read_by(expression: str, given: Variables) -> set[Path_]:
    """Where each value is that the expression reads, but for what Step Functions itself says of the execution."""
    found: set[Path_] = set()
    for name, rest in re.findall(r"\$(\w+)((?:\.\w+|\.`[^`]+`|\[\d+\])*)", expression):
        steps = re.findall(r"\.(\w+)|\.`([^`]+)`|\[(\d+)\]", rest)
        path = (name, *(int(index) if index else plain or quoted for plain, quoted, index in steps))
        if name not in given or path[:4] == ("states", "context", "Execution", "Id"):
            continue
        begins = 4 if path[1:2] == ("context",) else 2 if name == "states" else 1
        found |= {path[:length] for length in range(begins, len(path) + 1)}
        if f"${name}{rest}" != expression:  # one that only names a value does nothing with its members
            found |= set(within(at(given, path), path))
    return found


def within(value: Json, path: Path_) -> Iterator[Path_]:
    """Of an object all members, of a list the first, and so on."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, member in members:
        yield from within(member, (*path, name))


def at(given: Json, path: Path_) -> Json:
    for step in path:
        try:
            given = given[step]
        except (KeyError, IndexError, TypeError):
            return None
    return given


def changed(given: Variables, path: Path_) -> Iterator[tuple[str, Variables]]:
    """With other values there, each with its name."""
    for name, value in OTHERS.items():
        variables = copy.deepcopy(given)
        place, last = at(variables, path[:-1]), path[-1]
        if not isinstance(place, dict if isinstance(last, str) else list):
            continue
        if isinstance(place, list):
            place[last : last + 1] = [] if value is MISSING else [value]
        elif value is MISSING:
            place.pop(last, None)
        else:
            place[last] = value
        yield f"{'.'.join(map(str, path))}: {name}", variables


def cases(expression: str, given: list[Variables]) -> list[tuple[str, Variables]]:
    """Each recorded set of variables, and the last one with each of its values changed."""
    distinct = {json.dumps(one, sort_keys=True): one for one in given}.values()
    usual = [("as recorded", one) for one in distinct]
    [*_, last] = distinct
    return usual + [one for path in sorted(read_by(expression, last), key=str) for one in changed(last, path)]


def engines(expression: str, variables: Variables) -> dict[str, Json]:
    try:
        return {"value": evaluated(expression, variables)}
    except ValueError:
        return {}
    except Exception as error:
        return {"error": str(error)}


def references(asked: Iterable[tuple[str, list[Variables]]]) -> list[dict[str, Json]]:
    """Of all at once: node takes longer to start than to answer."""
    ran = subprocess.run(
        ["node", REFERENCE], input=json.dumps(list(asked)), capture_output=True, text=True, encoding="utf-8", check=True
    )
    return json.loads(ran.stdout)


def test_the_engine_evaluates_every_expression_as_the_reference_does(pipeline, monkeypatch):
    """The same value, or none, or an error in both, but for what is known to differ."""
    given = recorded(pipeline, monkeypatch)
    assert [expression for expression in written() if expression not in given] == []
    asked = [(f"({NOW} {expression})", cases(expression, given[expression])) for expression in written()]
    answers = iter(references((expression, [variables for _, variables in some]) for expression, some in asked))
    differ = []
    for expression, some in asked:
        for name, variables in some:
            ours, theirs = engines(expression, variables), next(answers)
            if ours != theirs and not ("error" in ours and "error" in theirs):
                differ.append((name, ours, theirs, expression))
    known = {one for one in DIFFERENT for name, *_ in differ if name.endswith(one)}
    assert [one for one in differ if not one[0].endswith(tuple(DIFFERENT))] == []
    assert known == set(DIFFERENT)


def test_the_time_is_written_alike():
    [theirs] = references([("$now()", [{}])])
    for said in (theirs["value"], evaluated("$now()", {})):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said)


@pytest.mark.parametrize("expression", written())
def test_no_expression_needs_what_step_functions_leaves_out(expression):
    """$eval, and the input as $ or $$: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html."""
    assert "$eval" not in extract_jsonata_variable_references(expression)


LONGEST = 1024


@pytest.mark.parametrize("text", ["x" * (LONGEST - 1) + CAMERA * 9, CAMERA * 1100, "x" + CAMERA * 1100])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_message_is_cut_between_two_characters(text, wrapped):
    """To 1,024 of them, in the reference too, which has a half of some."""
    cause = json.dumps({"errorMessage": text}, ensure_ascii=False) if wrapped else text
    cuts = [expression for expression in written() if f", {LONGEST})" in expression]
    variables = {"states": {"input": {"Error": "RuntimeError", "Cause": cause}}}
    assert len(cuts) > 0
    assert references((cut, [variables]) for cut in cuts) == [{"value": text[:LONGEST]}] * len(cuts)
