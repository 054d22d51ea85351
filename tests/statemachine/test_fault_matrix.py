"""docs/faults.md is what the engine shows, and what is lost there is known."""

import pytest

from tests.statemachine.fault_matrix import PAGE, local_columns, observations, page


@pytest.mark.filterwarnings("ignore:No application metrics")
@pytest.mark.timeout(1800)  # seconds, for some 150 executions and their sweeps: 30 on an idle core
def test_the_page_is_what_is_observed(monkeypatch):
    """Stale: `make faults` writes it anew. No picture is lost, and none that was shown is not shown any more. What the
    local cloud shows is tested there."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "faults")
    observed = list(observations())
    assert [(one.step, one.fault) for one in observed if one.is_lost] == []
    assert [(one.step, one.fault) for one in observed if one.is_gone] == []
    assert [(one.step, one.fault, one.express) for one in observed if "**" in one.express] == []
    assert page(observed, local_columns()) == PAGE.read_text()
