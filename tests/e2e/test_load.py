"""Nothing is lost and nothing is done twice, whatever breaks under load; and what failed is brought back."""

import pytest

from tests.e2e.conftest import Deployed
from tests.e2e.load import PERIOD, Load, letters


@pytest.mark.timeout(1800)  # half a minute of two cores, which may be shared
def test_nothing_is_lost_and_nothing_twice_under_load(deployed: Deployed):
    """Every count is what was worked out beforehand, with every function broken; then `darkroom redrive` brings every
    failed picture to SUCCEEDED, the queue is empty, and no file is left that no row names."""
    load = Load(deployed, PERIOD)
    seen, counts = load.run()
    assert seen.wrong == []
    assert counts == load.expected()

    redriven = load.redrive()
    load.clean_up()
    assert {one["key"] for one in redriven} == {one.key for one in load.pictures if one.fate.ends == "FAILED"}
    seen = load.look()
    assert seen.wrong == []
    assert seen.statuses() == {"SUCCEEDED": 27, "REJECTED": 3}
    assert letters(deployed) == []
