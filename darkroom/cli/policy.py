"""What IAM must allow a person who works with this tool: policy."""

from typing import Annotated, Literal

import typer

from darkroom.cli.app import LOCAL, command
from darkroom.cli.terminal import show_json


@command(
    LOCAL,
    examples={
        "--aws policy viewer": "for results, get, executions, inspect, console --read-only and doctor",
        "--aws policy operator": "what upload, redrive, link and the whole console need in addition",
        "--aws policy smoke": "what `darkroom smoke` needs in addition to both",
    },
)
def policy(
    ctx: typer.Context,
    who: Annotated[
        Literal["viewer", "operator", "smoke"], typer.Argument(metavar="WHO", help="viewer, operator or smoke.")
    ],
) -> None:
    """Print the smallest IAM policy that a person needs, with the names of the deployed stack.

    An operator needs the viewer's policy too. `darkroom smoke` needs all three. With a key of your own (`kms_key`),
    each person also needs kms:Decrypt and kms:GenerateDataKey for it.
    """
    from darkroom.pipeline.policies import policy as policy_of

    show_json(policy_of(ctx.obj.target(), who))
