"""What every command shares: the cloud it talks to, its options, the examples in its help, and how an error ends it."""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from darkroom.cli.terminal import say
from darkroom.errors import explained
from darkroom.local import cloud

if TYPE_CHECKING:
    from darkroom.pipeline.target import Target

Command = TypeVar("Command", bound=Callable[..., None])

LOCAL = "On this machine"
PICTURES = "Pictures"
WORKFLOW = "Their way through the workflow"


class OneLineErrors(TyperGroup):
    """An error a person can do something about is one line on stderr and exit code 1, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            line = explained(error)
            if line is None:
                raise
            say(f"darkroom: {line}")
            raise typer.Exit(1) from None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _flags_take_nothing(self, ctx)
        super().format_help(ctx, formatter)


class WithExamples(TyperCommand):
    """Its epilog is its examples: two lines each, what to type and what that gives."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _flags_take_nothing(self, ctx)
        examples, self.epilog = self.epilog, None
        super().format_help(ctx, formatter)
        self.epilog = examples
        typer.echo(f" Examples\n\n{examples}\n")


def _flags_take_nothing(command: Any, ctx: Any) -> None:
    """Or Typer would write `<bool>` behind each in the help."""
    for option in command.get_params(ctx):
        if getattr(option, "is_flag", False):
            option.metavar = ""


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Run Darkroom on this machine, and look after its pictures here or on AWS.",
    epilog="`darkroom COMMAND --help` has examples. The exit code is 0 if the command did what was asked, 1 if not, "
    "2 for a mistake in what was typed, 130 after Ctrl-C.",
)


def command(panel: str, *, examples: dict[str, str]) -> Callable[[Command], Command]:
    """Make a function one of the commands. `examples` are what to type after `darkroom`, and what that gives."""
    lines = [f"   darkroom {typed}\n       {given}" for typed, given in examples.items()]

    def register(function: Command) -> Command:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        said = "\n\n".join(one.replace("\n", " ") for one in paragraphs)  # or the help breaks lines where we do
        return app.command(cls=WithExamples, rich_help_panel=panel, help=said, epilog="\n".join(lines))(function)

    return register


@dataclass(frozen=True)
class Choice:
    aws: bool
    stack: str

    def target(self) -> "Target":
        """The cloud to talk to, named on stderr."""
        target = self.silent_target()
        say(target.name)
        return target

    def silent_target(self) -> "Target":
        from darkroom.pipeline.target import choose

        return choose(aws=self.aws, stack=self.stack, home=cloud.home_folder())


def without_crt() -> None:
    """Before botocore is imported, which would import AWS's common runtime: a seventh of the time of a short command.
    Only a profile that `aws login` made signs with that, and the local cloud has keys of its own."""
    if "botocore" not in sys.modules:
        sys.modules.setdefault("awscrt", None)  # type: ignore[arg-type]  # as Python marks what is not to be found


def keys(ctx: typer.Context, args: list[str], incomplete: str) -> list[str]:  # noqa: ARG001 - Typer gives them
    """Those that complete what is typed so far, with or without the upload prefix. An error completes nothing."""
    from darkroom.pipeline import by_key

    asked = ctx.find_root().params
    try:
        target = Choice(bool(asked.get("aws")), asked.get("stack") or "Darkroom").silent_target()
        prefix = target.upload_prefix
        whole = prefix if incomplete.startswith(prefix) or prefix.startswith(incomplete) else ""
        begins = incomplete if whole else prefix + incomplete
        found = by_key.keys(target, prefix=begins, limit=MOST_COMPLETED).keys
        return [key if whole else key.removeprefix(prefix) for key in found]
    except Exception:
        return []


MOST_COMPLETED = 50  # keys

Key = Annotated[
    str, typer.Argument(metavar="KEY", autocompletion=keys, help="A picture, with or without the upload prefix.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


@app.callback()
def main(
    ctx: typer.Context,
    aws: Annotated[
        bool, typer.Option("--aws", help="Talk to the AWS account of your environment, not to the local cloud.")
    ] = False,
    stack: Annotated[
        str, typer.Option(metavar="NAME", envvar="DARKROOM_STACK", help="The name of the stack.")
    ] = "Darkroom",
) -> None:
    from darkroom.pipeline.target import ENDPOINT

    if not aws and ENDPOINT not in os.environ:
        without_crt()
    ctx.obj = Choice(aws, stack)
