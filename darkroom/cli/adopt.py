"""Use a bucket that is there already: adopt."""

import difflib
import json
from typing import Annotated, Any

import typer

from darkroom.cli.app import LOCAL, command
from darkroom.cli.terminal import say


@command(
    LOCAL,
    examples={
        "--aws adopt my-photos": "shows what would change in the bucket, and asks",
        "--aws adopt my-photos --yes": "does not ask, for a script",
    },
)
def adopt(
    ctx: typer.Context,
    bucket: Annotated[str, typer.Argument(metavar="BUCKET", help="A bucket of your account, in the stack's region.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a bucket of yours tell EventBridge of its uploads, so that a stack can work on them.

    The bucket's other notifications stay as they are. It shows the difference first, and asks. The stack takes the
    bucket by the setting `uploads_bucket`; docs/bucket.md has the rest.
    """
    from darkroom.pipeline import adopt

    target = ctx.obj.target()
    adoption = adopt.plan(target, bucket)
    if adoption.is_done:
        say(f"{bucket} tells EventBridge of its uploads already: nothing to change")
        return
    for line in _difference(adoption.before, adoption.after):
        typer.echo(line)
    if not yes:
        typer.confirm(f"Change the notifications of {bucket} like this?", abort=True, err=True)
    adopt.carry_out(target, adoption)
    say(f"{bucket} tells EventBridge of its uploads; on AWS it begins within some five minutes")
    say(f"A stack takes them by the setting uploads_bucket={bucket}: `{target.deploy_with}`")


def _difference(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Of the two as JSON, with all that stays."""
    was, will_be = (json.dumps(one, indent=2, sort_keys=True).splitlines() for one in (before, after))
    return [line for line in difflib.ndiff(was, will_be) if not line.startswith("?")]
