"""The contract of the API is one that other programs understand. test_api.py holds answers against it."""

from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from functions import api

CONTRACT = api.contract()


def test_an_independent_validator_finds_nothing():
    assert [str(error) for error in OpenAPIV31SpecValidator(CONTRACT).iter_errors()] == []


def test_a_generator_finds_a_name_for_each_operation_and_a_schema_for_each_answer():
    operations = [one for operations in CONTRACT["paths"].values() for one in operations.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for operation in operations:
        for status, answer in operation["responses"].items():
            told = (
                CONTRACT["components"]["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            )
            assert status == "304" or told["content"], f"{operation['operationId']} {status}"


def test_each_answer_that_explains_itself_has_a_status_that_its_routes_have():
    """A problem with a status that no route has could never be given."""
    given = {status for path in CONTRACT["paths"].values() for one in path.values() for status in one["responses"]}
    problems = CONTRACT["components"]["x-problems"].values()
    assert {str(one["status"]) for one in problems} <= given


def test_docs_explain_each_code():
    """docs/api.md has them all, and no other."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    rows = [line.split(" | ") for line in page.partition("## Errors")[2].splitlines() if line.startswith("| `")][1:]
    shown = {row[0].strip("| `"): int(row[1]) for row in rows}
    assert shown == {code: told["status"] for code, told in CONTRACT["components"]["x-problems"].items()}


def test_the_script_of_the_example_is_short():
    """It is what an application has to write itself."""
    page = (Path(__file__).resolve().parents[2] / "docs/examples/upload/index.html").read_text()
    assert len(page.partition("<script")[2].partition("</script>")[0].splitlines()) - 1 <= 60
