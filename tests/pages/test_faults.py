"""docs/faults.md and what is tried on the local cloud. `tests/e2e/test_faults.py` tries it."""

from tests.e2e.fault_matrix import CASES
from tests.statemachine.fault_matrix import ENGINE_ONLY, lines_of_the_page


def test_the_page_says_something_of_the_local_cloud_where_it_is_tried_and_nowhere_else():
    """What nobody tries would be right for ever."""
    told = [(line[0], line[1]) for line in lines_of_the_page() if line[-1] not in {ENGINE_ONLY, "-"}]
    assert sorted(told) == sorted(case.cell for case in CASES)
