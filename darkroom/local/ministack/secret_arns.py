"""What a template refers to as a secret is its ARN, as on AWS. MiniStack gives its name, of which IAM grants nothing.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-secret.html
"""

from typing import Any

from ministack.services.cloudformation import provisioners

SUFFIX = 7  # characters that the ARN has behind the name: a hyphen and six at random


def add() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def created(*arguments: Any) -> tuple[str, dict[str, str]]:
        _, attributes = create(*arguments)
        return attributes["Arn"], attributes

    def updated(arn: str, *arguments: Any, **named: Any) -> tuple[str, dict[str, str]]:
        _, attributes = update(_name(arn), *arguments, **named)
        return attributes["Arn"], attributes

    def deleted(arn: str, *arguments: Any) -> None:
        delete(_name(arn), *arguments)

    handlers |= {"create": created, "update": updated, "delete": deleted}


def _name(arn: str) -> str:
    return arn.rpartition(":secret:")[2][:-SUFFIX]
