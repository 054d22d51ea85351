"""What docs/faults.md says of the functions that no state machine calls is what happens on the local cloud."""

import pytest

from tests.e2e.conftest import Deployed
from tests.e2e.edge_faults import CASES, Case, Edge, Observed, lines_of_the_page
from tests.e2e.test_events import listening

pytestmark = pytest.mark.timeout(1800)  # seconds for all cases together, on a machine that is busy as well


@pytest.fixture(scope="module")
def observed(deployed: Deployed) -> dict[Case, Observed]:
    with listening(deployed) as heard:
        return Edge(deployed, heard).observe()


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_broken_function_is_seen_as_the_page_says(observed: dict[Case, Observed], case: Case):
    assert observed[case] == lines_of_the_page()[case]
