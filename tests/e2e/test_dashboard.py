"""What the dashboard and the saved queries name is what the deployed functions really write."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from darkroom.local.pictures import photo
from stacks.dashboard import ENDED_BADLY, FAILED_ATTEMPTS, WHAT_HAPPENED, WHY_REJECTED
from tests.e2e.conftest import Deployed, FunctionRole, eventually

WHEN_SOMETHING_DIED = {"Swept"}  # by the same call as `Stalled`
OF_THE_STATE_MACHINE = {"type", "details.error", "details.cause", "details.input", "execution_arn"}


def lines(deployed: Deployed, step: str) -> list[dict[str, Any]]:
    """All that a function has logged as JSON."""
    return [json.loads(line) for line in deployed.log_lines(step) if line.startswith("{")]


def measured(deployed: Deployed) -> set[tuple[str, ...]]:
    """Namespace, name and dimensions of each metric in the logs: the value of `service`, of others the name alone."""
    logged = [line for step in ("validate", "resize", "caption", "sweep", "notify") for line in lines(deployed, step)]
    found = set()
    for line in logged:
        for one in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for dimensions in one["Dimensions"]:
                by = sorted(set(dimensions) - {"service"})
                found |= {(one["Namespace"], metric["Name"], line["service"], *by) for metric in one["Metrics"]}
    return found


def shown(deployed: Deployed) -> set[tuple[str, ...]]:
    """The same of our own metrics on the deployed dashboard, and of those that alarms watch."""
    cloudwatch = deployed.client("cloudwatch")
    [dashboard] = cloudwatch.list_dashboards()["DashboardEntries"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=dashboard["DashboardName"])["DashboardBody"])
    drawn = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    found = {(line[0], line[1], line[3]) for line in drawn if line[0] == "Darkroom"}
    searched = [one["expression"] for line in drawn for one in line if isinstance(one, dict) and "expression" in one]
    if any('{Darkroom,code,service} MetricName="Rejected"' in one for one in searched):
        found.add(("Darkroom", "Rejected", "validate", "code"))
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        if alarm["Namespace"] == "Darkroom":
            found.add(("Darkroom", alarm["MetricName"], alarm["Dimensions"][0]["Value"]))
    return found


def test_every_metric_of_ours_on_the_dashboard_is_one_that_a_function_wrote(deployed: Deployed):
    """With the same dimensions: CloudWatch finds a metric by all of them or not at all."""
    deployed.picture("raw/shown.jpg", photo(300, 200))
    deployed.picture("raw/shown.txt", b"only words")
    with FunctionRole(deployed, "caption").without("bedrock:Converse"):
        deployed.picture("raw/speechless too.jpg", photo(30, 20))
    deployed.sweep()
    wanted = {one for one in shown(deployed) if one[1] not in WHEN_SOMETHING_DIED}
    assert {name for _, name, *_ in wanted} >= {"Pictures", "Rejected", "Stalled", "CaptionInputTokens"}
    eventually(lambda: wanted <= measured(deployed), f"the metrics {wanted}")


def named(query: Sequence[str]) -> set[str]:
    """The fields that it shows."""
    stages = [stage.removeprefix("fields ").split(", ") for stage in query if stage.startswith("fields ")]
    return {field for stage in stages for field in stage}


def test_every_field_that_a_saved_query_names_is_in_the_lines_it_finds(deployed: Deployed):
    """Of the functions' logs."""
    deployed.picture("raw/asked for.txt", b"only words")

    def found() -> list[dict[str, Any]]:
        return [line for line in lines(deployed, "validate") if line.get("key") == "raw/asked for.txt"]

    [line] = eventually(found, "the log line")
    assert line["message"] == "rejected"
    assert 'filter message = "rejected"' in WHY_REJECTED
    for query in (WHAT_HAPPENED, WHY_REJECTED):
        assert named(query) - OF_THE_STATE_MACHINE - {"@timestamp"} <= set(line)
        assert len(named(query)) > 4


def test_the_state_machines_log_has_what_the_queries_of_it_ask_for(deployed: Deployed):
    """A picture that goes well leaves nothing in it; one that fails can be found by its key, with all attempts."""
    fine, key = deployed.picture("raw/goes well.jpg", photo(30, 20)), "raw/fails for the log.jpg"
    with FunctionRole(deployed, "resize").without("s3:PutObject"):
        row = deployed.picture(key, photo(30, 20))
    logged = eventually(lambda: _of_the_machine(deployed, row["execution"]), "the log of the execution")
    assert not _of_the_machine(deployed, fine["execution"])

    attempts = [line for line in logged if line["type"] in _types(FAILED_ATTEMPTS)]
    assert [(line["details"]["resourceType"], "AccessDenied" in line["details"]["cause"]) for line in attempts] == [
        ("lambda", True)
    ] * 3
    [end] = [line for line in logged if line["type"] in _types(ENDED_BADLY)]
    assert end["details"]["error"] == row["error"]["code"]
    by_key = [line for line in logged if key in json.dumps(line)]
    told = {f"details.{name}" for line in logged for name in line["details"]} | set(logged[0])
    assert {"FailStateEntered"} <= {line["type"] for line in by_key}
    assert named(WHAT_HAPPENED) & told >= OF_THE_STATE_MACHINE


def _of_the_machine(deployed: Deployed, execution: str) -> list[dict[str, Any]]:
    pages = deployed.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName="/aws/vendedlogs/states/Darkroom-ImagePipeline")
    read = [json.loads(event["message"]) for page in found for event in page["events"]]
    return [line for line in read if line["execution_arn"] == execution]


def _types(query: Sequence[str]) -> set[str]:
    """Of events, that it looks for."""
    return set(re.findall(r'"(\w+)"', query[0]))


@pytest.mark.parametrize("query", [WHAT_HAPPENED, WHY_REJECTED])
def test_a_saved_query_runs(deployed: Deployed, query):
    """As text that is taken; the local cloud answers with every line, because it does not know these filters."""
    deployed.picture("raw/photo.jpg", b"only words")
    logs = deployed.client("logs")
    group = deployed.function("validate")["LoggingConfig"]["LogGroup"]

    def answered() -> list[Any]:
        started = logs.start_query(
            logGroupName=group, startTime=0, endTime=4_000_000_000, queryString="\n| ".join(query)
        )
        return logs.get_query_results(queryId=started["queryId"])["results"]

    eventually(answered, "an answer")
