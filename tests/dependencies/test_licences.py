"""The page of licences is what `make licences` would write now."""

import re

from dependencies.licences import PAGE, page
from dependencies.locks import LOCKS, of_node, of_python


def rows(text: str) -> list[str]:
    return sorted(re.findall(r"^\| .*$", text, re.MULTILINE))


def test_the_page_has_every_package_with_its_version_and_its_licence():
    """Row by row; in which table one stands depends on the Python that asks."""
    assert rows(PAGE.read_text()) == rows(page())


def test_no_lock_file_is_left_out():
    """Each package of each lock file, in each of its versions, and none without a licence."""
    locked = {one[1:] for lock in LOCKS for one in of_python(lock)} | {one[1:] for one in of_node()}
    listed = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(locked) > 90
    assert {(name, version) for name, version, _ in listed if version[0].isdigit()} == locked


def test_copyleft_is_in_bold():
    """What the layer holds by default is none of it."""
    marked = re.findall(r"^\| (\S+) \| \S+ \| \*\*", PAGE.read_text(), re.MULTILINE)
    decoders = {"pillow-heif", "pillow-jxl-plugin"}
    assert set(marked) == decoders | {"pyvips-binary", "certifi", "docutils", "hypothesis", "pathspec", "axe-core"}
