"""Values as a person reads them."""

import json

import pytest

from darkroom.text import counted, unpacked

LAMBDA = {"errorMessage": "no room", "errorType": "RuntimeError", "stackTrace": ["  File x"]}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("no room", "no room"),
        (json.dumps(LAMBDA), "no room"),
        (json.dumps({"errorMessage": json.dumps(LAMBDA)}), "no room"),
        (f"An error occurred in 'Resize'. {json.dumps(LAMBDA)}", "An error occurred in 'Resize'. no room"),
        ('{"Message": "throttled"}', "throttled"),
        ('{"message": "throttled"} (Service: Lambda)', "throttled (Service: Lambda)"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"errorMessage": "cut', '{"errorMessage": "cut'),
        ("set {a} and {b}", "set {a} and {b}"),
        ('"{"', '"{"'),
        ("", ""),
    ],
)
def test_the_json_around_an_error_is_taken_away(error: str, said: str):
    assert unpacked(error) == said


def test_what_is_there_often_is_said_once_with_its_count():
    assert counted(["a", "b", *["a"] * 11]) == ["a (12 times)", "b"]
    assert counted([]) == []
