"""What IAM must allow a person who works with this tool: policy."""

from enum import StrEnum
from typing import Annotated

import typer

from darkroom.cli.app import LOCAL, command
from darkroom.cli.terminal import show_json


class Who(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    SMOKE = "smoke"


@command(
    LOCAL,
    examples={
        "--aws policy viewer": "to look: results, executions, inspect, console --read-only, doctor",
        "--aws policy operator": "and what upload, redrive and the whole console need beyond that",
        "--aws policy smoke": "and what `darkroom smoke` needs beyond both",
    },
)
def policy(
    ctx: typer.Context,
    who: Annotated[Who, typer.Argument(metavar="WHO", help="viewer, operator or smoke.")],
) -> None:
    """Print the least that IAM must allow a person, as a policy with the names of the deployed stack.

    An operator needs the viewer's policy too, and whoever runs `darkroom smoke` all three. With a key of your own
    (`kms_key`), kms:Decrypt and kms:GenerateDataKey on it come on top.
    """
    from darkroom.pipeline.policies import policy as policy_of

    show_json(policy_of(ctx.obj.target(), who))
