"""What docs/faults.md says of the local cloud is what happens there."""

import pytest

from tests.e2e.conftest import Deployed
from tests.e2e.fault_matrix import CASES, Case, Cell, Matrix, Observed, on_the_page

# One cloud, in one process; seconds for all cases together, on a machine that is busy with something else as well.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def observed(deployed: Deployed) -> dict[Cell, Observed]:
    return Matrix(deployed).observe(on_the_page())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.step}: {case.fault}")
def test_a_broken_step_ends_as_the_page_says(observed: dict[Cell, Observed], case: Case):
    """Execution, row and letters, after Step Functions' event and the schedule."""
    assert observed[case.cell] == on_the_page()[case.cell]
