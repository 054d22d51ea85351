"""The command `darkroom`: each of its commands begins a picture's way, or looks at some part of it."""

import shlex
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from darkroom import cloud
from darkroom.errors import DarkroomError, explained
from darkroom.terminal import pictures, say, show_json, show_table, step

if TYPE_CHECKING:
    from darkroom.target import Target


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


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Run Darkroom on this machine, and look after its pictures here or on AWS.",
)


@dataclass(frozen=True)
class Choice:
    aws: bool
    stack: str

    def target(self) -> "Target":
        """The cloud to talk to, named on stderr."""
        from darkroom.target import choose

        target = choose(aws=self.aws, stack=self.stack, home=cloud.home_folder())
        say(target.name)
        return target


class Status(StrEnum):
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    DELETED = "DELETED"


class ExecutionStatus(StrEnum):
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"


class Reason(StrEnum):
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"
    STALLED = "STALLED"
    UNDELIVERED = "UNDELIVERED"


class Redrivable(StrEnum):
    FAILED = "FAILED"


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


@app.callback()
def main(
    ctx: typer.Context,
    aws: Annotated[bool, typer.Option("--aws", help="Talk to the AWS account of your environment.")] = False,
    stack: Annotated[str, typer.Option(help="The name of the stack.")] = "Darkroom",
) -> None:
    ctx.obj = Choice(aws, stack)


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Instead of the last one, 4566 or any free one.")
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting, over cdk.json: captions.enabled=true. It holds until set anew; NAME= takes it back.",
        ),
    ] = None,
    deploy: Annotated[bool, typer.Option("--deploy/--no-deploy", help="Deploy the stack into it.")] = True,
) -> None:
    """Start the local cloud and deploy into it what changed."""
    if chosen and not deploy:
        raise typer.BadParameter("a setting needs a deployment", param_hint="--set")
    running = _started(port, dict(_setting(text) for text in chosen or []) if deploy else None)
    say(f'The local cloud is up at {running.endpoint}. To point any AWS tool at it: eval "$(darkroom env)"')


@app.command()
def demo(
    pictures: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="A folder of pictures instead of drawn ones.")
    ] = None,
) -> None:
    """Start the local cloud, deploy with captions on, upload pictures, and show what became of each."""
    from darkroom import demo, uploads

    if pictures is not None:
        uploads.keys([pictures], prefix="")  # a wrong folder is said before half a minute of deploying
    demo.run(_started(None, {"captions.enabled": "true"}), pictures)


@app.command()
def down() -> None:
    """Stop the local cloud. It keeps its pictures, rows and stack for the next `darkroom up`."""
    home = cloud.home_folder()
    if cloud.running(home) is None:
        say("The local cloud is not running")
        return
    with step("Stopping the local cloud"):
        cloud.stop(home)


@app.command()
def env() -> None:
    """Print what points any AWS tool at the local cloud: eval "$(darkroom env)"."""
    running = _running()
    typer.echo("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN")
    for name, value in running.variables().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Say whether the local cloud runs, where, since when, and what is deployed in it; or with --aws, in AWS."""
    from darkroom.errors import TargetError
    from darkroom.target import local

    running = cloud.running(cloud.home_folder())
    facts: dict[str, Any]
    if ctx.obj.aws:
        target = ctx.obj.target()
        facts = {"cloud": target.name}
    elif running is not None:
        target = local(running, ctx.obj.stack)
        facts = {
            "running": True,
            "endpoint": running.endpoint,
            "since": running.since,
            "pid": running.pid,
            "log": str(running.log),
        }
    else:
        if as_json:
            show_json({"running": False, "stack": None})
        raise DarkroomError("the local cloud is not running: `darkroom up` starts it")
    outputs = None
    with suppress(TargetError):  # it is there with nothing in it
        outputs = target.outputs
    if as_json:
        show_json({**facts, "stack": outputs})
    else:
        show_table(("", ""), [*facts.items(), *(outputs or {"stack": f"not deployed: `{target.deploy_with}`"}).items()])


@app.command()
def upload(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow each picture to its end.")] = True,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to follow them at most.")] = 300,
    as_json: Json = False,
) -> None:
    """Upload pictures and follow each to its end. Exit code 1 if one failed, or has not ended in time."""
    from darkroom import uploads

    target: Target = ctx.obj.target()
    files = uploads.keys(paths, target.upload_prefix)
    sent, ended = [], []
    if wait:
        ended = uploads.watch(target, files, timeout)
    else:
        with step(f"Uploading {pictures(len(files))}") as news:
            for one in uploads.send(target, files):
                sent.append(one)
                news(f"{len(sent)} of {len(files)}: {one.key}")
    if as_json:
        show_json([one.document() for one in (ended if wait else sent)])
    elif wait:
        show_table(uploads.COLUMNS, map(uploads.line, sorted(ended, key=lambda end: end.upload.key)))
    else:
        show_table(("picture", "version"), [(one.key, one.version_id) for one in sent])
    uploads.require_verdicts(ended)


@app.command()
def results(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(help="One picture, with or without the upload prefix.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only pictures of this status.")] = None,
    as_json: Json = False,
) -> None:
    """Show the rows of the results table, newest first, or all of one picture's row."""
    from darkroom import results

    target: Target = ctx.obj.target()
    if key is not None:
        row = results.row(target, key)
        if status is not None and row["status"] != status:
            raise DarkroomError(f"{row['key']} is {row['status']}, not {status}")
        if as_json:
            show_json(row)
        else:
            show_table(("", ""), results.facts(row))
        return
    rows = list(results.rows(target, status))
    if as_json:
        show_json(rows)
    else:
        show_table(results.COLUMNS, map(results.line, rows))


@app.command()
def executions(
    ctx: typer.Context,
    status: Annotated[ExecutionStatus | None, typer.Option(help="Only executions of this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the newest executions of the state machine."""
    from darkroom import executions

    found = executions.recent(ctx.obj.target(), status=status, limit=limit)
    if as_json:
        show_json(found)
    else:
        show_table(executions.COLUMNS, map(executions.line, found))


@app.command()
def inspect(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="A picture, with or without the upload prefix.")],
    as_json: Json = False,
) -> None:
    """Show how a picture went its way: each state with its duration, input, retries and error."""
    from darkroom import executions

    found = executions.inspect(ctx.obj.target(), key)
    if as_json:
        show_json(found)
    else:
        executions.show(found)


@app.command()
def redrive(
    ctx: typer.Context,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY...", help="Only these pictures, also those without a letter.")
    ] = None,
    reason: Annotated[Reason | None, typer.Option(help="Only letters with this reason.")] = None,
    status: Annotated[
        Redrivable | None, typer.Option(help="Only pictures whose row says so, also those without a letter.")
    ] = None,
    include_rejected: Annotated[
        bool, typer.Option("--include-rejected", help="Rejected pictures too, say after the limits were changed.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="How many are started a second, at most.")] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be started.")] = False,
    as_json: Json = False,
) -> None:
    """Start again the pictures in the dead letters: each from its original event. Ctrl-C leaves the rest there."""
    from darkroom import letters

    if reason and (status or include_rejected):
        raise typer.BadParameter("is a letter's, --status and --include-rejected are a row's", param_hint="--reason")
    target: Target = ctx.obj.target()
    done: list[letters.Done] = []
    redriven = letters.redrive(
        target, keys or (), reason, failed=bool(status), rejected=include_rejected, rate=rate, dry_run=dry_run
    )
    try:
        with step("Redriving") as news, closing(redriven):
            for one in redriven:
                done.append(one)
                news(f"{len(done)}: {one.get('key', one.get('problem'))}")
    finally:
        if as_json:
            show_json(done)
        else:
            show_table(letters.COLUMNS, map(letters.line, done))
    if any("problem" in one for one in done):
        raise typer.Exit(1)


def _started(port: int | None, settings: dict[str, str] | None) -> cloud.Cloud:
    """The local cloud, running, with the stack of these settings in it; without settings, with what it has."""
    from darkroom import deploy

    home = cloud.home_folder()
    if settings is not None:
        deploy.check_tools()
    if (before := cloud.running(home)) is not None:
        say(f"The local cloud runs already, since {before.since}")
        running = cloud.start(home, port=port)
    else:
        with step("Starting the local cloud"):
            running = cloud.start(home, port=port, say=say)
    if settings is not None:
        deploy.deploy(running, settings)
    return running


def _running() -> cloud.Cloud:
    running = cloud.running(cloud.home_folder())
    if running is None:
        raise DarkroomError("no local cloud is running: `darkroom up` starts it")
    return running


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    return name, value
