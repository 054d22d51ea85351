"""The local cloud and what is deployed: up, demo, down, env, status."""

import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from darkroom.cli.app import LOCAL, Json, command
from darkroom.cli.terminal import FACTS, say, show_json, show_table, step
from darkroom.errors import DarkroomError
from darkroom.local import cloud
from darkroom.pipeline.target import STACK


@command(
    LOCAL,
    examples={
        "up": "starts the local cloud, and deploys the stack of this checkout",
        "up --set captions.enabled=true": "turns captions on, also for later deployments",
        "up --set captions.enabled=": "goes back to what cdk.json says",
        "up --settings staging.json": "deploys the stack of this file, beside the others",
        "up --no-deploy --port 4567": "starts the cloud on this port, without the stack",
    },
)
def up(
    ctx: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=1, max=65535, help="The port. Without it: the last one, else 4566, else any free one."
        ),
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting, over cdk.json. It holds until you set it again; NAME= goes back to cdk.json.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The settings of a stack, over cdk.json, as JSON. They take the place of all that were set before.",
        ),
    ] = None,
    deploy: Annotated[bool, typer.Option("--deploy/--no-deploy", help="Deploy the stack into it.")] = True,
) -> None:
    """Start the local cloud, and deploy the stack if something changed.

    There may be several stacks, each with a name and settings of its own: `darkroom --stack NAME up`, or a file with
    the setting `stack`.
    """
    if (chosen or file) and not deploy:
        raise typer.BadParameter("a setting needs a deployment", param_hint="--settings" if file else "--set")
    settings = {**_of_file(file), **dict(setting(text, "--set") for text in chosen or [])}
    stack = _stack(ctx.obj.stack, settings.pop("stack", None))
    if settings or file or stack != STACK:
        _check(settings, stack, file)
    running = started(port, settings if deploy else None, stack, anew=file is not None)
    say(f'The local cloud is up at {running.endpoint}. To point any AWS tool at it: eval "$(darkroom env)"')


@command(
    LOCAL,
    examples={
        "demo": "uploads drawn pictures, some of them odd or broken",
        "demo ~/Pictures/2026": "uploads the pictures of this folder",
    },
)
def demo(
    ctx: typer.Context,
    pictures: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", exists=True, file_okay=False, help="A folder of pictures instead of drawn ones."
        ),
    ] = None,
) -> None:
    """Start the local cloud, deploy with captions on, upload pictures, and show the result of each."""
    from darkroom.cli import demo
    from darkroom.pipeline import files

    if pictures is not None:
        files.choose([pictures], prefix="")  # a wrong folder is said before half a minute of deploying
    stack, settings = ctx.obj.stack, {"captions.enabled": "true"}
    running = started(None, settings, stack, beside=demo.draw if pictures is None else None)
    demo.run(running, pictures, stack)


@command(LOCAL, examples={"down": "stops it; the next `darkroom up` finds everything as it was"})
def down() -> None:
    """Stop the local cloud. It keeps its pictures, rows and stack for the next `darkroom up`."""
    home = cloud.home_folder()
    if cloud.running(home) is None:
        say("The local cloud is not running")
        return
    with _saying_what_runs(home), step("Stopping the local cloud"):
        cloud.stop(home)


@command(LOCAL, examples={"env": 'for a shell: eval "$(darkroom env)", then for instance `aws s3 ls`'})
def env() -> None:
    """Print the variables that point any AWS tool at the local cloud."""
    running = cloud.running(cloud.home_folder())
    if running is None:
        raise DarkroomError("no local cloud is running: `darkroom up` starts it")
    typer.echo("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN")
    for name, value in running.variables().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@command(
    LOCAL,
    examples={
        "status": "whether the local cloud runs, and the names of its buckets and table",
        "--aws status": "the account, the region, and what is deployed there",
        "status --json": "the same, for a program",
    },
)
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show whether the local cloud runs, where, since when, and what is deployed; with --aws, in your AWS account.

    Below that it says if dead letters wait or pictures failed.
    """
    from darkroom.errors import TargetError
    from darkroom.pipeline.target import local

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
            show_json({"running": False, "stack": None, "attention": None})
        raise DarkroomError("the local cloud is not running: `darkroom up` starts it")
    from darkroom.pipeline.attention import attention

    outputs = None
    with suppress(TargetError):  # it is there with nothing in it
        outputs = target.outputs
    waits = attention(target) if outputs and "DeadLetterQueueUrl" in outputs else None
    if as_json:
        counts = {"letters": waits.letters, "failed": waits.failed.number} if waits else None
        show_json({**facts, "stack": outputs, "attention": counts})
    else:
        show_table(FACTS, [*facts.items(), *(outputs or {"stack": f"not deployed: `{target.deploy_with}`"}).items()])
        for line in waits.lines() if waits else ():
            say(line)


def started(
    port: int | None,
    settings: dict[str, str] | None,
    stack: str = STACK,
    *,
    anew: bool = False,
    beside: Callable[[cloud.Cloud], object] | None = None,
) -> cloud.Cloud:
    """The local cloud, running, with the stack of these settings in it; without settings, with what it has. With `anew`
    they take the place of those that the stack had before. `beside` is done while it deploys, which is mostly to
    wait."""
    from darkroom.local import deploy, recovery

    home = cloud.home_folder()
    if settings is not None:
        deploy.check_tools()
    with _saying_what_runs(home):
        if (before := cloud.running(home)) is not None:
            say(f"The local cloud runs already, since {before.since}")
            running = cloud.start(home, port=port)
        else:
            with step("Starting the local cloud"):
                running = cloud.start(home, port=port, say=say)
        recovery.take_up_again(running, say)
        with ThreadPoolExecutor(1) as worker:
            done = worker.submit(beside, running) if beside else None
            if settings is not None:
                deploy.deploy(running, settings, stack=stack, anew=anew, say=say, step=step)
            if done:
                done.result()
    return running


@contextmanager
def _saying_what_runs(home: Path) -> Iterator[None]:
    """Ctrl-C leaves a cloud that runs or one that does not, and a stack that the next `darkroom up` completes."""
    try:
        yield
    except KeyboardInterrupt:
        running = cloud.running(home)
        if running is None:
            say("Stopped. The local cloud is not running: `darkroom up` starts it")
        else:
            say(
                f"Stopped. The local cloud runs at {running.endpoint}, perhaps without all of the stack: "
                "`darkroom up` goes on, `darkroom down` stops it"
            )
        raise


def _check(settings: dict[str, str], stack: str, file: Path | None) -> None:
    """Before anything starts: the synth would say it half a minute later."""
    from darkroom.local import deploy

    try:
        deploy.check_settings(cloud.home_folder(), settings, stack=stack, anew=file is not None)
    except DarkroomError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--settings" if file else "--set") from None


def _of_file(file: Path | None) -> dict[str, str]:
    from darkroom.local import deploy

    if file is None:
        return {}
    try:
        return deploy.of_file(file)
    except DarkroomError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--settings") from None


def _stack(chosen: str, set_to: str | None) -> str:
    """By `--stack`, or by the setting of that name."""
    if set_to and chosen not in (STACK, set_to):
        raise typer.BadParameter(f"the setting `stack` says {set_to}, and --stack says {chosen}", param_hint="--stack")
    return set_to or chosen


def setting(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
    return name, value
