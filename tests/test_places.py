"""What must be changed in several places: each test names a place that was forgotten. CONTRIBUTING.md lists them."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import functions
from benchmarks import corpus, memory
from benchmarks.bombs import files as bombs
from darkroom.cli import backfill as backfill_command
from darkroom.console.files import content_type
from darkroom.console.results import SHOWN_BY_BROWSERS
from darkroom.pipeline import backfill
from functions import backfill as backfilling
from functions import validate
from functions.imaging import Limits as Bounds
from functions.imaging import RejectCode, Rejected, examine, formats
from functions.imaging.plan import CONTENT_TYPES, EXTENSIONS
from functions.imaging.render import _ENCODERS
from functions.promises import OPTIONAL_TYPES
from functions.storage import Source
from stacks.settings import (
    ApiSettings,
    Format,
    Function,
    Functions,
    Jwt,
    Limits,
    Qualities,
    Settings,
    read_settings,
)
from tests.e2e import load, permissions
from tests.functions.conftest import ENVIRONMENT
from tests.functions.imaging.test_examine import TAKEN
from tests.functions.imaging.test_mutations import SEEDS
from tests.statemachine import fault_matrix
from tests.statemachine.engine import DELETION, IMAGES, definition, states

ROOT = Path(__file__).resolve().parents[1]
# No picture goes through these: their own files in tests/e2e break them.
AT_THE_EDGE = {"backfill", "api", "deliver", "announce", "notify"}
FORMAT_OF = {"jpg": "jpeg", "tif": "tiff"}  # file extensions that are not the name of their format


class Asked(dict[str, str]):
    """An environment that remembers which of its variables were read."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return super().__getitem__(name)


def handlers() -> set[str]:
    """The files of `functions/` that Lambda calls."""
    return {
        file.stem
        for file in (ROOT / "functions").glob("*.py")
        for one in ast.parse(file.read_text()).body
        if isinstance(one, ast.FunctionDef) and one.name == "handler"
    }


def test_every_reject_code_is_raised_somewhere():
    """mypy refuses a code that is not in the list; this one finds a code that nothing gives any more."""
    functions = "".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    assert set(re.findall(r'Rejected\(\s*"(\w+)"', functions)) == set(get_args(RejectCode))


def test_every_reject_code_is_in_a_test_of_the_functions():
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "functions").rglob("*.py"))
    assert [code for code in get_args(RejectCode) if f'"{code}"' not in tests] == []


def test_every_setting_acts_somewhere():
    """`quality` and `captions` are handed on whole."""
    files = (ROOT / "stacks").glob("*.py")
    read = {
        node.attr for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)
    }
    groups = (Settings, Limits, Functions, Function, ApiSettings, Jwt)
    assert [name for group in groups for name in group.model_fields if name not in read] == []


def test_validate_reads_every_setting_that_the_stack_gives_it():
    """And no other. A variable of one side only is a setting without effect, or a function that cannot start."""
    given = Asked(read_settings({}).for_validate())
    validate.Settings.read(given)
    assert given.read == set(given)


def test_what_a_backfill_may_be_of_is_the_same_everywhere():
    """The command's choices, what it asks for, and what the function knows."""
    assert get_args(backfill_command.Only) == get_args(backfill.Only) == get_args(backfilling.Only)
    assert set(backfilling.NEEDS) == set(get_args(backfilling.Only))


@pytest.mark.parametrize(
    "changed",
    [
        {"renditions.small": '{"width": 481, "height": 480}'},
        {"renditions.small": '{"width": 480, "height": 480, "formats": ["avif"]}'},
        {"renditions.thumb": '{"width": 128, "height": 128, "fit": "cover", "crop": "entropy"}'},
        {"quality.webp": 81},
        {"background": "#000000"},
        {"keep_copyright": True},
        {},
        {"limits.max_pixels": 1_000_000},
        {"heic": True},
        {"jxl": True},
        {"renditions.small": '{"width": 480, "height": 480, "animated": true}'},
        {"keep_location": True},
        {"captions.prompt": "What is there?"},
        {"functions.resize.memory": 3008},
    ],
    ids=str,
)
def test_another_recipe_is_another_address_of_the_files(changed):
    """What names the settings in the row changes with those, and only with those, that Validate plans by."""

    def made(context: dict[str, Any]) -> tuple[str, set[str]]:
        settings = read_settings(context)
        source: Source = {"bucket": "uploads", "key": "raw/cat.jpg", "version_id": "1", "etag": "e"}
        picture = {"width": 4032, "height": 3024, "content_hash": "c0ffee", "metadata": {"animated": False}}
        chosen = validate.Settings.read(settings.for_validate())
        planned = validate.planned_renditions(source, picture, chosen, "arn:execution")
        return settings.recipe, {one["key"] for one in planned}

    (recipe, files), (other, others) = made({}), made(changed)
    assert files.isdisjoint(others) is (recipe != other)
    assert (files == others) is (recipe == other)


def test_the_tests_of_the_functions_have_every_variable_of_the_stack():
    given = read_settings({"captions.enabled": "true"}, "us-east-1")
    assert set(given.for_validate()) | set(given.for_caption()) <= set(ENVIRONMENT)


def test_every_format_of_a_rendition_has_a_type_an_extension_an_encoder_and_a_quality():
    """PNG loses nothing, and has no quality."""
    every = set(get_args(Format))
    assert set(CONTENT_TYPES) == set(EXTENSIONS) == set(_ENCODERS) == every
    assert set(corpus.FORMATS["thumb"]) == every
    assert set(Qualities.model_fields) == every - {"png"}


def test_every_format_that_is_taken_is_tried_in_each_kind_of_test():
    """By its verdict, damaged, at its worst, and at 100 megapixels. Optional ones are tried on a layer of their own."""
    every = set(formats._DECODERS) - set(formats.OPTIONAL)
    assert {formats.recognise(data) for data in TAKEN.values()} == every
    assert {formats.recognise(data) for data in SEEDS.values()} == every
    assert set(bombs.FORMATS) == every | {"jxl"}
    endings = {name.rpartition(".")[2] for name in memory.KINDS}
    assert {FORMAT_OF.get(ending, ending) for ending in endings} == every


def test_the_page_shows_every_format_that_browsers_show():
    """Of those that are taken, as a picture by its first bytes; of the others it shows a rendition."""
    shown = {formats.recognise(data) for data in TAKEN.values() if content_type(data)}
    assert shown == set(SHOWN_BY_BROWSERS) == set(formats._DECODERS) - {"tiff", *formats.OPTIONAL}


def test_every_optional_format_has_a_setting_and_a_type():
    assert set(formats.OPTIONAL) == set(Settings().decoders) == set(OPTIONAL_TYPES)


def test_the_verdict_on_a_file_of_no_format_names_all_that_are_taken():
    with pytest.raises(Rejected) as rejected:
        examine(b"words", Bounds(100, 100))
    assert set(re.findall(r"[a-z]+", rejected.value.message.lower())) >= set(formats._DECODERS) - set(formats.OPTIONAL)


def test_every_function_has_a_setting_a_test_of_its_name_and_a_place_where_it_is_broken():
    """A step has one name everywhere."""
    every = handlers()
    assert [name for name in every if f"`{name}`" not in str(functions.__doc__)] == []
    assert {field.alias or name for name, field in Functions.model_fields.items()} == every
    assert [name for name in every if not (ROOT / f"tests/functions/test_{name}.py").exists()] == []
    assert set(load.STEPS) == every - AT_THE_EDGE
    assert {who.lower() for role, who in permissions.ROLES.items() if role.endswith(f"{who}Role")} == every


def test_every_task_is_broken_in_every_way():
    """docs/faults.md has a line for each. NoCaption runs where Caption gives up, and is tried in test_outcomes.py."""
    for machine in (IMAGES, DELETION):
        tasks = {name for name, state in states(definition(machine)) if state["Type"] == "Task"}
        broken = {step for way, steps in fault_matrix.STEPS.items() if way.startswith(machine) for step in steps}
        assert tasks - broken <= {"NoCaption"}
