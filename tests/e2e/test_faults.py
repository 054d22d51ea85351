"""What docs/faults.md says of the local cloud is what happens there."""

import pytest

from tests.e2e.conftest import Deployed
from tests.e2e.fault_matrix import CASES, Case, Cell, Matrix, Observed, on_the_engine, on_the_page
from tests.statemachine.fault_matrix import LOCAL

# One cloud, in one process; seconds for all cases together, on a machine that is busy with something else as well.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def expected() -> dict[Cell, Observed]:
    return on_the_page(LOCAL, on_the_engine())


@pytest.fixture(scope="module")
def observed(deployed: Deployed, expected: dict[Cell, Observed]) -> dict[Cell, Observed]:
    return Matrix(deployed).observe(expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.step}: {case.fault}")
def test_a_broken_step_ends_as_the_page_says(
    observed: dict[Cell, Observed], expected: dict[Cell, Observed], case: Case
):
    """Execution, row and letters, after Step Functions' event and the schedule."""
    assert observed[case.cell] == expected[case.cell]
