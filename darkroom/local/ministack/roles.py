"""What IAM says to a service that calls another, with a role that it was given or in its own name.

MiniStack asks IAM about what comes in over its endpoint, and about no call among its own services. What is asked here
is asked of its own evaluation of policies. AWS's services call each other over TLS, also where no request came before:
of a schedule.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam

JSON = "application/x-amz-json-1.0"


class Call(NamedTuple):
    """As it would come in over the endpoint; `service` by MiniStack's name."""

    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, Any]

    @classmethod
    def of_json(cls, service: str, operation: str, body: bytes) -> "Call":
        return cls(service, "POST", "/", {"x-amz-target": f"{service}.{operation}", "content-type": JSON}, body, {})


def refusal(call: Call, *, role: str, session: str) -> str | None:
    """Why IAM refuses the call to a session of that role, in its own words; None if it does not."""
    account, region, name = get_account_id(), get_region(), role.rpartition("/")[2]
    action = iam_actions.extract_iam_action(*call)
    if action is None:  # MiniStack does not know it, and lets it pass over its endpoint too
        return None
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=iam_actions.extract_resource_arn(*call, region, account),
        region=region,
        secure_transport=True,
        service_context={key.lower(): value for key, value in _conditions(call, action).items()},
    )
    limits = iam_evaluator._permissions_boundary(iam._roles, name, account)
    said = iam_evaluator.evaluate(context, iam_evaluator._gather_role_policies(name, account), *limits)
    if policy := iam_evaluator._resource_policy(call.service, context.resource_arn):
        said = iam_evaluator.combine_resource_policy(said, context, *policy, limits=limits)
    if said.decision == "Allow":
        return None
    where = (action, context.principal_arn, context.resource_arn)
    return str(iam_actions.identity_denial_message(*where, explicit_deny=said.decision == "Deny"))


def _conditions(call: Call, action: str) -> dict[str, Any]:
    if call.service == "dynamodb":
        return dict(iam_actions.dynamodb_service_context(call.body))
    if call.service == "s3":
        return dict(iam_actions.s3_service_context(action, call.query, call.path, call.headers))
    return {}


def may_take(service: str, role: str, *, source: str) -> bool:
    """Whether the trust policy of a role lets the service (`events`) take it when it works for `source`, an ARN."""
    found = iam._roles.get(role.rpartition("/")[2])
    return found is not None and accepts(
        found["AssumeRolePolicyDocument"], service, "sts:AssumeRole", role, source=source
    )


def accepts(
    policy: Any,
    service: str,
    action: str,
    resource: str,
    *,
    source: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Whether the policy of a resource lets the service do that when it works for `source`, an ARN. `more` is what else
    a condition may ask for."""
    context = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context={
            "aws:sourcearn": source,
            "aws:sourceaccount": get_account_id(),
            **{name.lower(): value for name, value in more.items()},
        },
    )
    said = iam_evaluator.evaluate_resource_policy(policy, context, service=f"{service}.amazonaws.com")
    return bool(said.decision == "Allow")
