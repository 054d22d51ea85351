"""Who may do what: one statement at a time, and never a wildcard without its written reason beside it."""

from typing import Any

from aws_cdk import Acknowledgment, Aws, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct


def role_for(scope: Construct, role_id: str, *, service: str, source: str | None = None) -> iam.Role:
    """A role that a service may take when it works for this account, and there for `source` (`states:stateMachine:*`).

    No other account can so make the service use it. What a role works for is created after it, hence the wildcard.
    """
    conditions = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
    if source:
        kind, _, name = source.partition(":")
        arn = f"arn:{Aws.PARTITION}:{kind}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{name}"
        conditions["ArnLike"] = {"aws:SourceArn": arn}
    principal = iam.ServicePrincipal(f"{service}.amazonaws.com", conditions=conditions)
    return iam.Role(scope, role_id, assumed_by=principal)


def allow(
    to: iam.Role | iam.Policy, *actions: str, on: list[str], because: str | None = None, below: str | None = None
) -> None:
    """Let a role, or whoever has a policy, do `actions` on the resources `on`. `because` is the reason of a wildcard
    among them, for cdk-nag. With `below`, a bucket is listed only where the keys begin so."""
    statement = iam.PolicyStatement(actions=list(actions), resources=on)
    if below is not None:
        statement.add_condition("StringLike", {"s3:prefix": f"{below}*"})
    if isinstance(to, iam.Policy):
        to.add_statements(statement)
    else:
        to.add_to_policy(statement)
    if because:
        for arn in on:
            accept(to, f"AwsSolutions-IAM5[Resource::{_as_cdk_nag_writes_it(to, arn)}]", because)


def allow_key(role: iam.Role, key: kms.IKey | None, *actions: str, through: str) -> None:
    """Let a role use the customer's own key, if there is one, only by way of that service: whatever else the key
    encrypts stays closed to it."""
    if key is not None:
        via = {"StringEquals": {"kms:ViaService": f"{through}.{Aws.REGION}.{Aws.URL_SUFFIX}"}}
        role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[key.key_arn], conditions=via))


def allow_secret(role: iam.Role, secret: secretsmanager.ISecret, key: kms.IKey | None) -> None:
    allow(role, "secretsmanager:GetSecretValue", on=[secret.secret_arn])
    allow_key(role, key, "kms:Decrypt", through="secretsmanager")


def accept(construct: IConstruct, finding: str, because: str) -> None:
    """Accept one finding of cdk-nag. The rules: https://github.com/cdklabs/cdk-nag/blob/main/RULES.md"""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::{finding}", reason=because))


def _as_cdk_nag_writes_it(scope: IConstruct, arn: str) -> str:
    """`<LogicalId.Attribute>` for what is only known at deployment."""
    resolved = Stack.of(scope).resolve(arn)
    parts = resolved["Fn::Join"][1] if isinstance(resolved, dict) else [resolved]
    return "".join(part if isinstance(part, str) else f"<{_reference(part)}>" for part in parts)


def _reference(part: dict[str, Any]) -> str:
    return ".".join(part["Fn::GetAtt"]) if "Fn::GetAtt" in part else part["Ref"]
