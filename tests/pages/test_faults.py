"""docs/faults.md and what is tried on the local cloud. `tests/e2e/test_faults.py` and `test_express.py` try it."""

import pytest

from tests.e2e.fault_matrix import CASES, EXPRESS_CASES, Case
from tests.statemachine.fault_matrix import LOCAL, LOCAL_EXPRESS, local_columns


@pytest.mark.parametrize(("column", "cases"), [(LOCAL, CASES), (LOCAL_EXPRESS, EXPRESS_CASES)])
def test_the_page_says_something_of_the_local_cloud_where_it_is_tried_and_nowhere_else(
    column: str, cases: tuple[Case, ...]
):
    """What nobody tries would be right for ever."""
    assert sorted(local_columns()[column]) == sorted(case.cell for case in cases)
