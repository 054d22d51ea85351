"""Who may import whom: read from the imports of every file."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"functions", "stacks", "darkroom", "comparison", "tests"}
ONLY_TYPES = {
    "mypy_boto3_s3",
    "mypy_boto3_dynamodb",
    "mypy_boto3_sqs",
    "mypy_boto3_stepfunctions",
    "mypy_boto3_bedrock_runtime",
}
ON_LAMBDA = {"aws_lambda_powertools", "boto3", "botocore"} | ONLY_TYPES


def imports(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each with its whole name: `from functions import keys` is functions.keys."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module, f"{file}: a relative import"
                yield from ((file, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "may"),
    [
        ("functions", {"functions"}),
        ("stacks", {"stacks"}),
        ("darkroom", {"darkroom"}),
        ("comparison", {"comparison", "functions"}),
    ],
)
def test_the_three_folders_know_nothing_of_each_other(folder, may):
    """What runs in Lambda, what describes the account and what the operator runs meet in the deployed stack only.
    `comparison` is a process that the operator's tool starts."""
    foreign = [f"{file}: {name}" for file, name in imports(ROOT / folder) if name.split(".")[0] in OURS - may]
    assert foreign == []


@pytest.mark.parametrize(
    ("room", "may"),
    [
        ("pipeline", {"pipeline", "local", "errors", "text", "documentation"}),
        ("local", {"pipeline", "local", "errors", "text", "documentation"}),
        ("console", {"console", "pipeline", "local", "errors", "text", "documentation"}),
    ],
)
def test_what_asks_and_acts_knows_nothing_of_who_shows_it(room, may):
    """The command line and the page stand on the pipeline and the local cloud, and beside each other."""
    ours = [(file, name) for file, name in imports(ROOT / "darkroom" / room) if name.startswith("darkroom.")]
    assert [f"{file}: {name}" for file, name in ours if name.split(".")[1] not in may] == []


@pytest.mark.parametrize("room", ["pipeline", "local", "console"])
def test_only_the_command_line_prints(room):
    """Whoever asks is told by what a function returns, or by the function it was given."""
    folder = ROOT / "darkroom" / room
    foreign = [f"{file}: {name}" for file, name in imports(folder) if name.split(".")[0] in {"typer", "rich", "click"}]
    printed = [
        f"{file}:{node.lineno}"
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert foreign + printed == []


def test_functions_import_only_what_lambda_and_the_layer_have():
    """A package that happens to be installed here would be missing there."""
    allowed = sys.stdlib_module_names | ON_LAMBDA | {"functions", "PIL", "__future__"}
    assert [f"{file}: {name}" for file, name in imports(ROOT / "functions") if name.split(".")[0] not in allowed] == []


def test_imaging_imports_pillow_itself_and_the_standard_library_only():
    """Pure: no AWS, no logging, no environment; and Pillow is imported nowhere else."""
    imaging = ROOT / "functions" / "imaging"
    for file, name in imports(imaging):
        top = name.split(".")[0]
        assert top == "PIL" or name.startswith("functions.imaging") or top in sys.stdlib_module_names, f"{file}: {name}"
        assert top not in {"logging", "os"}, f"{file}: {name}"
    elsewhere = [
        file for file, name in imports(ROOT / "functions") if name.startswith("PIL") and imaging not in file.parents
    ]
    assert elsewhere == []


@pytest.mark.parametrize(
    "module", re.findall(r"python -m ((?:tests|dependencies)[\w.]+)", (ROOT / "Makefile").read_text())
)
def test_what_the_makefile_runs_can_be_imported(module):
    """No other test does so with what lies beside the tests."""
    importlib.import_module(module)


def test_both_continuous_integrations_call_the_same_targets():
    """A person, `.ci/run` and the workflow file run `make check` and `make test`, and nothing else decides."""
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    [targets] = re.findall(r"target: \[(.*)\]", workflow)
    assert re.findall(r"^ +- run: (.*)$", workflow, re.MULTILINE) == ["make ${{ matrix.target }}"]
    assert targets.split(", ") == re.findall(r"^make (\w+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)


def test_the_changelog_has_the_version_of_the_package():
    """As its newest release."""
    [version] = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    released = re.findall(r"^## ([\d.]+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == version


def test_a_test_of_the_deployed_stack_asks_for_it():
    """Every file of that folder waits for a cloud to start. What needs none is tried elsewhere."""
    asking = []
    for file in (ROOT / "tests" / "e2e").glob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                given = [ast.literal_eval(mark.args[0]) for mark in node.decorator_list if _parametrizes(mark)]
                names = {name.strip() for one in given for name in (one.split(",") if isinstance(one, str) else one)}
                asking.append((f"{file.name}: {node.name}", {one.arg for one in node.args.args} - names))
    assert len(asking) > 50
    assert [name for name, fixtures in asking if not fixtures] == []


def _parametrizes(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize"
