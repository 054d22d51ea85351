"""Who may do what: one statement at a time, and never a wildcard without its written reason beside it."""

from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def allow(role: iam.Role, *actions: str, on: list[str], because: str | None = None) -> None:
    """Let a role do `actions` on the resources `on`. `because` is the reason of a wildcard among them, for cdk-nag."""
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=on))
    if because:
        for arn in on:
            accept(role, f"AwsSolutions-IAM5[Resource::{_as_cdk_nag_writes_it(role, arn)}]", because)


def accept(construct: IConstruct, finding: str, because: str) -> None:
    """Accept one finding of cdk-nag. The rules: https://github.com/cdklabs/cdk-nag/blob/main/RULES.md"""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::{finding}", reason=because))


def _as_cdk_nag_writes_it(role: iam.Role, arn: str) -> str:
    """`<LogicalId.Attribute>` for what is only known at deployment."""
    resolved = Stack.of(role).resolve(arn)
    parts = resolved["Fn::Join"][1] if isinstance(resolved, dict) else [resolved]
    return "".join(part if isinstance(part, str) else f"<{_reference(part)}>" for part in parts)


def _reference(part: dict[str, Any]) -> str:
    return ".".join(part["Fn::GetAtt"]) if "Fn::GetAtt" in part else part["Ref"]
