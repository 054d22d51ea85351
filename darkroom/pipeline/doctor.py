"""What a person needs before a picture can go its way: looked at one by one, each with what to do if it is missing."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

from darkroom import documentation
from darkroom.errors import REFUSED, DeployError, explained
from darkroom.local import cloud
from darkroom.local.cloud import PROJECT
from darkroom.pipeline import buckets
from darkroom.pipeline.attention import attention
from darkroom.pipeline.target import WITHOUT_IT, Target, choose, meant_elsewhere
from darkroom.text import size, some

OUTPUTS = ("UploadsBucketName", "RenditionsBucketName", "ResultsTableName", "StateMachineArn", "DeadLetterQueueUrl")
PYTHONS = ((3, 11), (3, 14))
NODE = 20
LEAST_FREE = 1024**3  # bytes: a layer, its copy for each function at work, the cloud's data
BOOTSTRAP = 6  # the version that the CDK's own synthesiser asks for
PLACES = 1_000  # what AWS gives an account that it knows
NAMED = 5  # of many, so many are named

ON_COMMANDS = "commands.md#what-is-missing-here"

Look = Callable[[], tuple[str, str, str | None]]  # state, what was found, how to put it right


@dataclass(frozen=True)
class Check:
    """`note` is nothing to put right. `skipped` could not be looked at, for want of what an earlier check names."""

    name: str
    page: str  # of the documentation
    state: Literal["ok", "missing", "note", "skipped"]
    found: str
    fix: str | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Doctor:
    """Looks at this machine, then at the local cloud or, with `aws`, at the account."""

    def __init__(self, *, aws: bool, stack: str, home: Path, synth: bool = True, settings: Path | None = None) -> None:
        """`settings`: the file of those with which the stack was deployed into the account."""
        self._aws, self._stack, self._home, self._synth, self._settings = aws, stack, home, synth, settings

    def checks(self) -> Iterator[tuple[str, Callable[[], Check]]]:
        """Each by its name, to be called when its turn has come."""
        for name, entry, look in self.looks():
            yield name, partial(self._checked, name, f"{documentation.PAGES}/{entry}", look)

    def looks(self) -> list[tuple[str, str, Look]]:
        """Each with its name and where the documentation says more."""
        there: list[tuple[str, str, Look]] = [
            ("port", "local-cloud.md", self._port),
            ("local cloud", "local-cloud.md", self._cloud),
        ]
        if self._aws:
            there = [
                ("credentials and region", "access.md#who-may-work-with-it", self._account),
                ("CDK bootstrap", "deploy.md", self._bootstrap),
                ("functions at once", "scale.md#what-to-ask-aws-for", self._places),
            ]
        return [
            ("Python", ON_COMMANDS, self._python),
            ("Python packages", ON_COMMANDS, self._packages),
            ("node", ON_COMMANDS, self._node),
            ("npm", ON_COMMANDS, self._npm),
            ("CDK command line", ON_COMMANDS, self._cdk),
            ("disk", "local-cloud.md#its-files", self._disk),
            ("shell", "upload.md#which-cloud-it-talks-to", self._shell),
            *there,
            ("stack", ON_COMMANDS, self._deployed),
            ("stack's version", "upgrade.md#to-a-newer-version", self._version),
            ("uploads bucket", "bucket.md#what-the-bucket-needs", partial(self._of_bucket, self._events)),
            ("bucket's encryption", "bucket.md#a-bucket-with-a-key-of-its-own", partial(self._of_bucket, self._key)),
            (
                "bucket's protection",
                "bucket.md#what-the-bucket-should-have",
                partial(self._of_bucket, self._protection),
            ),
            ("log of executions", "express.md#the-log", self._log),
            ("lost uploads", "express.md#what-can-be-lost", self._lost),
            ("pictures", "executions.md#dead-letters", self._pictures),
            ("model for captions", "deploy.md#the-model-for-captions", self._model),
        ]

    def _checked(self, name: str, page: str, look: Callable[[], Any]) -> Check:
        try:
            return Check(name, page, *look())
        except Exception as error:
            line = explained(error)
            if line is None:
                raise
            if isinstance(error, ClientError):  # in AWS's words
                return Check(name, page, "missing", line, "sign in again, or have the account's owner allow it")
            told, _, fix = line.rpartition(": ")
            return Check(name, page, "missing", told, fix)

    @cached_property
    def _target(self) -> Target:
        return choose(aws=self._aws, stack=self._stack, home=self._home)

    @cached_property
    def _reached(self) -> bool:
        """Whether there is a cloud to ask. Why not is said by an earlier check."""
        try:
            return bool(self._target.name)
        except Exception as error:
            if explained(error) is None:
                raise
            return False

    @cached_property
    def _template(self) -> dict[str, Any] | None:
        """Of the stack as it is deployed."""
        try:
            answer: Any = self._target.stacks.get_template(StackName=self._stack)["TemplateBody"]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None
        return json.loads(answer) if isinstance(answer, str) else dict(answer)

    def _python(self) -> Any:
        here, (oldest, newest) = sys.version_info[:2], PYTHONS
        found = ".".join(map(str, sys.version_info[:3]))
        if oldest <= here <= newest:
            return "ok", found, None
        wanted = f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
        return "missing", f"{found}, and Darkroom needs {wanted}", "rm -r .venv; make install PYTHON=python3.14"

    def _packages(self) -> Any:
        other = list(_not_as_locked(PROJECT / "requirements.txt"))
        if not other:
            return "ok", "as requirements.txt has them", None
        return "missing", f"not as requirements.txt has them: {some(other, NAMED)}", "make install"

    def _node(self) -> Any:
        fix = f"install node {NODE} or newer from your system's packages or https://nodejs.org"
        if (program := shutil.which("node")) is None:
            return "missing", "not on the PATH: the CDK needs it", fix
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        major = re.match(r"v(\d+)\.", said)
        if major is None or int(major[1]) < NODE:
            return "missing", f"{said or 'does not say its version'} at {program}", fix
        return "ok", said, None

    def _npm(self) -> Any:
        if shutil.which("npm") is None:
            return "note", "not on the PATH; only `make install` needs it", "install npm, it comes with node"
        return "ok", "on the PATH", None

    def _cdk(self) -> Any:
        locked = json.loads((PROJECT / "package-lock.json").read_text())["packages"]["node_modules/aws-cdk"]["version"]
        installed = PROJECT / "node_modules" / "aws-cdk" / "package.json"
        if not installed.exists():
            return "missing", f"not in {PROJECT / 'node_modules'}", "make install"
        found = json.loads(installed.read_text())["version"]
        if found != locked:
            return "missing", f"{found}, and package-lock.json has {locked}", "make install"
        return "ok", found, None

    def _disk(self) -> Any:
        there = next(folder for folder in (self._home, *self._home.parents) if folder.exists())
        if not os.access(there, os.W_OK):
            return "missing", f"{there} cannot be written", "own that folder, or set DARKROOM_HOME to another"
        free = shutil.disk_usage(there).free
        if free < LEAST_FREE:
            fix = f"free {size(LEAST_FREE - free)}, or set DARKROOM_HOME to a folder on another disk"
            return "missing", f"{size(free)} free at {there}", fix
        return "ok", f"{size(free)} free at {there}", None

    def _shell(self) -> Any:
        """What this shell says about AWS to every tool that is started from it."""
        endpoint, bundle = os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_CA_BUNDLE")
        if self._aws and (elsewhere := meant_elsewhere()):
            return "missing", elsewhere, WITHOUT_IT
        if bundle and not Path(bundle).exists():
            return "missing", f"AWS_CA_BUNDLE names {bundle}, which is not there", _env_or(endpoint)
        running = cloud.running(self._home)
        if not self._aws and endpoint and running and endpoint == running.endpoint:
            if bundle != running.variables()["AWS_CA_BUNDLE"]:
                return "missing", "AWS_CA_BUNDLE is not the local cloud's authority", _env_or(endpoint)
            return "ok", "points every AWS tool at the local cloud", None
        if endpoint:
            return "note", f"AWS_ENDPOINT_URL says {endpoint}, which is not the local cloud of {self._home}", None
        if self._aws:
            return "ok", "nothing in it keeps a tool from AWS", None
        return "note", "other AWS tools do not know the local cloud here; darkroom does", 'eval "$(darkroom env)"'

    def _port(self) -> Any:
        if running := cloud.running(self._home):
            return "ok", f"{running.port}, the local cloud's", None
        try:
            with closing(socket.create_server((cloud.LOOPBACK, cloud.USUAL_PORT))):
                return "ok", f"{cloud.USUAL_PORT} is free", None
        except OSError as error:
            said = f"{cloud.USUAL_PORT} is taken ({error.strerror}): `darkroom up` looks for another"
            return "note", said, None

    def _cloud(self) -> Any:
        running = cloud.running(self._home)
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        if endpoint and not (running and running.endpoint == endpoint):
            return "note", f"the shell chooses another cloud, {endpoint}", None
        if running is None:
            return "missing", "is not running", "darkroom up"
        if not running.healthy():
            return (
                "missing",
                f"process {running.pid} does not answer at {running.endpoint}",
                "darkroom down; darkroom up",
            )
        return "ok", f"runs at {running.endpoint} since {running.since}", None

    def _account(self) -> Any:
        return "ok", self._target.name, None

    def _pictures(self) -> Any:
        """What waits for a person. It is nothing that Darkroom lacks."""
        if not self._reached or self._template is None or any(name not in self._target.outputs for name in OUTPUTS):
            return "skipped", "there is no stack to ask", None
        waiting = attention(self._target).lines()
        if not waiting:
            return "ok", "no dead letter waits, and no picture is FAILED", None
        found = [line.partition(": ")[0] for line in waiting]
        return "note", ", ".join(found), "darkroom results --status FAILED; darkroom redrive --dry-run"

    def _of_bucket(self, look: Callable[[str], Any]) -> Any:
        """What is to be said of the uploads bucket; a note where one may not ask."""
        if not self._reached or self._template is None or "UploadsBucketName" not in self._target.outputs:
            return "skipped", "there is no stack that would name it", None
        try:
            return look(self._target.output("UploadsBucketName"))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchBucket":
                return "missing", "there is no bucket of that name", "set uploads_bucket to one that is there"
            if code not in REFUSED:
                raise
            return "note", "not known", "`darkroom policy viewer` prints what you need"

    def _events(self, bucket: str) -> Any:
        region, here = buckets.region(self._target.s3, bucket), self._target.session.region_name
        if region != here:
            said = f"{bucket} is in {region}, where its events stay, and the stack in {here}"
            return "missing", said, f"deploy the stack in {region}"
        if not buckets.tells_eventbridge(buckets.notifications(self._target.s3, bucket)):
            said = f"{bucket} does not tell EventBridge of its uploads"
            return "missing", said, f"darkroom {'--aws ' * self._aws}adopt {bucket}"
        return "ok", f"{bucket} tells EventBridge of its uploads", None

    def _key(self, bucket: str) -> Any:
        """Whether the functions can read what is uploaded."""
        key, ours = buckets.key(self._target.s3, bucket), _own_key(self._template or {})
        if key is None:
            return "ok", "by keys that need no grant", None
        if ours and key.rpartition("/")[2] == ours.rpartition("/")[2]:
            return "ok", "by the key that is set as kms_key", None
        if "alias/" in key:
            return "note", f"by {key}: see that it is the alias of kms_key, which is {ours or 'not set'}", None
        return "missing", f"by {key}, which the functions may not use", "set kms_key to the ARN of that key"

    def _protection(self, bucket: str) -> Any:
        found = buckets.weaknesses(self._target.s3, bucket)
        if found:
            return "note", "; ".join(found), None
        return "ok", "keeps versions, blocks public access, takes no ACLs", None

    def _log(self) -> Any:
        """Whether executions can be read out of it, where that is all that is kept of them. Somebody may have changed
        it in AWS's console, which no template shows."""
        if not self._reached or self._template is None:
            return "skipped", "there is no stack to ask", None
        target, wrong = self._target, []
        for machine, name in target.express.items():
            said: Any = target.states.describe_state_machine(stateMachineArn=machine).get("loggingConfiguration", {})
            wrong += [f"{name} has {one}" for one in _not_logged(said, str(target.log_of(machine)))]
        if wrong:
            return "missing", f"{'; '.join(wrong)}: commands and the page do not see its executions", _LOG_ALL
        return "ok", "has every event" if target.express else "not needed: Step Functions keeps the histories", None

    def _lost(self) -> Any:
        """Whether anything looks for uploads that no row tells of, where an execution may die without a trace."""
        if not self._reached or self._template is None:
            return "skipped", "there is no stack to ask", None
        if _searches(self._template):
            return "ok", "are searched for", None
        if self._target.is_express:
            said = "nothing searches for an upload whose execution dies before its row is written"
            return "note", said, "set reconcile_days, for example to 7"
        return "ok", "are not searched for: the setting reconcile_days", None

    def _places(self) -> Any:
        """How many functions the account may run at the same time, for all of its stacks together."""
        if not self._reached:
            return "skipped", "there is no account to ask", None
        try:
            places = self._target.functions.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
        except ClientError as error:
            if "AccessDenied" not in error.response["Error"]["Code"]:
                raise
            return "note", "not known", "have lambda:GetAccountSettings allowed, or see Service Quotas"
        if places < PLACES:
            fix = 'ask for more in Service Quotas, "Concurrent executions" of AWS Lambda'
            return "note", f"{places:,}: some {max(1, places // 2):,} pictures a second, and bursts take long", fix
        return "ok", f"{places:,}", None

    def _bootstrap(self) -> Any:
        if not self._reached:
            return "skipped", "there is no account to ask", None
        try:
            stack: Any = self._target.stacks.describe_stacks(StackName="CDKToolkit")["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return "missing", "this account and region have no stack CDKToolkit", "npx cdk bootstrap"
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        version = outputs.get("BootstrapVersion", "0")
        if int(version) < BOOTSTRAP:
            return "missing", f"version {version}, and {BOOTSTRAP} is needed", "npx cdk bootstrap"
        return "ok", f"version {version}", None

    def _deployed(self) -> Any:
        if not self._reached:
            return "skipped", "there is no cloud to ask", None
        target = self._target
        lacking = [name for name in OUTPUTS if name not in target.outputs]  # raises if there is none
        if lacking:
            return "missing", f"{self._stack} has no output {', '.join(lacking)}", target.deploy_with
        return "ok", f"{self._stack} is deployed; uploads go to {target.output('UploadsBucketName')}", None

    def _version(self) -> Any:
        if not self._reached or self._template is None:
            return "skipped", "there is no stack to compare", None
        if not self._synth:
            return "skipped", "not compared with this checkout, as asked by --quick", None
        try:
            ours = self._synthesised()
        except DeployError as error:
            return "missing", str(error), "put right what it names; `npx cdk synth` says all of it"
        if ours == self._template:
            return "ok", "is what this checkout makes, functions, layer and settings", None
        mine, theirs = ours.get("Resources", {}), self._template.get("Resources", {})
        differ = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
        named = f": {', '.join(differ[:NAMED])}" if differ else " outside its resources"
        said = f"differs from what this checkout makes with the same settings, in {len(differ)} resources{named}"
        return "missing", said, self._target.deploy_with

    def _synthesised(self) -> dict[str, Any]:
        from darkroom.local.deploy import chosen_settings, local_settings, template

        running = cloud.running(self._home)
        if self._aws or running is None:
            settings = {"stack": self._stack, **({"settings": str(self._settings.resolve())} if self._settings else {})}
        else:
            settings = {**local_settings(self._stack), **chosen_settings(running.home, stack=self._stack)}
        return template(settings, self._target.session.region_name)

    def _model(self) -> Any:
        """Asks the model one short question, as the functions do: nothing else says whether it would answer."""
        if not self._reached or self._template is None:
            return "skipped", "there is no stack that would say whether captions are on", None
        model = _caption_model(self._template)
        if model is None:
            return "ok", "captions are off", None
        question: Any = {"messages": [{"role": "user", "content": [{"text": "Say: yes"}]}]}
        try:
            self._target.client("bedrock-runtime").converse(modelId=model, inferenceConfig={"maxTokens": 5}, **question)
        except ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
            state, fix = _no_answer(code, said)
            return state, f"{model} does not answer in {self._target.session.region_name}: {code}: {said}", fix
        return "ok", f"{model} answers", None


_LOG_ALL = (
    "in the Step Functions console, Edit, Logging: the level and the log group that are wanted, with execution data; "
    "`make deploy` changes it back only with another change of the machine"
)


def _not_logged(configured: dict[str, Any], group: str) -> Iterator[str]:
    """What is another than stacks/workflow.py asks for, each with what is wanted."""
    level = configured.get("level", "OFF")
    if level != "ALL":
        yield f"the level {level}, and ALL is wanted"
        if level == "OFF":
            return
    if not configured.get("includeExecutionData"):
        yield "no execution data, and it is wanted"
    arns = [one["cloudWatchLogsLogGroup"]["logGroupArn"] for one in configured.get("destinations", [])]
    into = [arn.partition(":log-group:")[2].removesuffix(":*") for arn in arns]
    if into != [group]:
        yield f"the log group {', '.join(into) or 'none'}, and {group} is wanted"


def _env_or(endpoint: str | None) -> str:
    return 'eval "$(darkroom env)"' if endpoint else "unset AWS_CA_BUNDLE"


def _not_as_locked(lock: Path) -> Iterator[str]:
    """Packages of the lock file whose version here is another, or that are not here; without those of other systems."""
    from packaging.requirements import Requirement

    for line in re.findall(r"^[^\s#-].*==.*$", lock.read_text(), re.MULTILINE):
        wanted = Requirement(line.rstrip(" \\"))
        if wanted.marker is None or wanted.marker.evaluate():
            try:
                found = metadata.version(wanted.name)
            except metadata.PackageNotFoundError:
                found = "missing"
            if found not in wanted.specifier:
                yield f"{wanted.name} {found}"


def _searches(template: dict[str, Any]) -> bool:
    """Whether a schedule starts backfills of what has no row."""
    return any(name.startswith("OperationsReconciles") for name in template.get("Resources", {}))


def _own_key(template: dict[str, Any]) -> str | None:
    """The KMS key that the stack was deployed with."""
    properties = [one.get("Properties", {}) for one in template.get("Resources", {}).values()]
    told = [one.get("Environment", {}).get("Variables", {}) for one in properties]
    return next((str(one["KMS_KEY"]) for one in told if "KMS_KEY" in one), None)


def _caption_model(template: dict[str, Any]) -> str | None:
    """Of a stack whose captions are on."""
    properties = [one.get("Properties", {}) for one in template.get("Resources", {}).values()]
    if not any(one.get("DefinitionSubstitutions", {}).get("CaptionsEnabled") == "true" for one in properties):
        return None
    told = [one.get("Environment", {}).get("Variables", {}) for one in properties]
    return next((str(json.loads(one["CAPTIONS"])["model_id"]) for one in told if "CAPTIONS" in one), None)


def _no_answer(code: str, said: str) -> tuple[Literal["missing", "note"], str]:
    """What it means that Bedrock gave an error, and what to do.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
    """
    other = (
        "set captions.model_id to a model or inference profile of this region, or remove that setting: see"
        " `aws bedrock list-inference-profiles` and `aws bedrock list-foundation-models`"
    )
    if code == "AccessDeniedException" and "not authorized to perform" in said:
        return (
            "note",
            "Caption has its own grant, which this does not try; to ask yourself you need bedrock:InvokeModel",
        )
    if code == "AccessDeniedException":
        return "missing", "ask for the model in the Bedrock console, Model access; or -c captions.enabled=false"
    if code in ("ValidationException", "ResourceNotFoundException"):
        return "missing", other
    if code in ("ThrottlingException", "ServiceQuotaExceededException"):
        return (
            "note",
            "ask again; if it stays so, raise the model's requests a minute in Service Quotas, Amazon Bedrock",
        )
    return "note", "ask again; captions that failed meanwhile are made by `darkroom redrive --caption-failed`"
