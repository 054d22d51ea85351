"""The EventBridge rules that begin something: the patterns of `statemachine/` as they stand, with their values."""

import json
from collections.abc import Mapping

from aws_cdk import aws_events as events
from constructs import Construct

from stacks import STATE_MACHINES


def rule_of(
    scope: Construct, rule_id: str, *, file: str, values: Mapping[str, str], does: str, target: events.IRuleTarget
) -> events.Rule:
    """A rule of that file; `values` fill its placeholders, `${Name}`."""
    text = (STATE_MACHINES / file).read_text()
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    pattern = json.loads(text)
    return events.Rule(
        scope,
        rule_id,
        description=does,
        event_pattern=events.EventPattern(
            source=pattern["source"], detail_type=pattern["detail-type"], detail=pattern["detail"]
        ),
        targets=[target],
    )
