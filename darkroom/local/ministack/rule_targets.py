"""What a rule's target cannot be handed becomes a letter in the target's dead-letter queue, as EventBridge writes it.

It cannot where the target is gone, or where IAM does not let EventBridge call it: by the role that the target names,
or by the target's own policy. EventBridge tries neither again:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html. MiniStack drops such an event, and asks IAM
for none.
"""

import json
import logging
import uuid
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, lambda_svc, sns, sqs, stepfunctions

from darkroom.local.ministack.roles import Call, accepts, may_take, refusal

BY_POLICY = {"lambda": "lambda:InvokeFunction", "sns": "sns:Publish", "sqs": "sqs:SendMessage"}

log = logging.getLogger(__name__)


def add() -> None:
    invoke = eventbridge._invoke_target

    def invoked(target: Any, event: Any, rule: Any, view: Any = None) -> None:
        if found := _hindrance(target["Arn"], target.get("RoleArn") or rule.get("RoleArn"), rule["Arn"]):
            _send_letter(target, event, rule, view, *found)
        else:
            invoke(target, event, rule, view)

    eventbridge._invoke_target = invoked


def _hindrance(target: str, role: str | None, rule: str) -> tuple[str, str] | None:
    """Error code and message, if the target cannot be called."""
    service = target.split(":")[2]
    if _is_gone(service, target):
        return "NO_RESOURCE", f"The target does not exist: {target}"
    if service == "states":
        return _hindrance_of_role(target, str(role), rule)
    if service in BY_POLICY:
        action, found = BY_POLICY[service], iam_evaluator._resource_policy(service, target)
        if not accepts(found and found[0], "events", action, target, source=rule):
            said = f"The service events.amazonaws.com is not authorized to perform: {action} on resource: {target}"
            return "NO_PERMISSIONS", f"{said} because no resource-based policy allows it"
    return None


def _hindrance_of_role(machine: str, role: str, rule: str) -> tuple[str, str] | None:
    if not may_take("events", role, source=rule):
        return "FAILED_TO_ASSUME_ROLE", f"The service events.amazonaws.com is not authorized to assume {role}"
    call = Call.of_json("states", "StartExecution", json.dumps({"stateMachineArn": machine}).encode())
    said = refusal(call, role=role, session=uuid.uuid4().hex)
    return ("NO_PERMISSIONS", said) if said else None


def _is_gone(service: str, target: str) -> bool:
    if service == "lambda":
        return lambda_svc._get_func_record_for_ref(target)[0] is None
    if service == "sns":
        return sns._topic_by_arn_any_scope(target) is None
    if service == "sqs":
        return sqs._queue_by_arn(target) is None
    return service == "states" and stepfunctions._resolve_state_machine_arn(target) is None


def _send_letter(target: Any, event: Any, rule: Any, view: Any, code: str, message: str) -> None:
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue or not sqs.queue_policy_allows(queue, "events.amazonaws.com", rule["Arn"], get_account_id()):
        log.warning("EventBridge: an event of %s is lost, %s: %s", rule["Arn"], code, message)
        return
    said = {"RULE_ARN": rule["Arn"], "TARGET_ARN": target["Arn"], "ERROR_CODE": code, "ERROR_MESSAGE": message}
    said["RETRY_ATTEMPTS"] = "0"
    body = (view or eventbridge._pattern_event_view(event)).event_with_detail()
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    url = sqs._queue_url(queue.rpartition(":")[2])
    sqs._act_send_message({"QueueUrl": url, "MessageBody": json.dumps(body), "MessageAttributes": attributes}, url)
