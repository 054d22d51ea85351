"""Which cloud the operator's commands talk to, and where in it a picture's upload, row and execution are."""

import os
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import TargetError
from darkroom.local import cloud
from darkroom.pipeline.histories import History, Kept, Logged

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

STACK = "Darkroom"

# The outputs of the machines that the setting `workflow` makes Express, and what the names of their log groups end in.
EXPRESS = {"StateMachineArn": "ImagePipeline", "RecaptionStateMachineArn": "Recaption"}

ENDPOINT = "AWS_ENDPOINT_URL"  # of all services; of one with its name behind
WITHOUT_IT = "use a shell without it"

# Pictures on their way at once. A picture has 4 renditions and so 4 functions at a time, and an account of AWS 1,000;
# the local cloud starts a process for each, on this machine's cores.
AWS_AT_ONCE = 100
LOCAL_AT_ONCE = 4

# Between two looks at what changes. All who look in an account share its quotas of a few requests a second.
AWS_POLL_SECONDS = 4
LOCAL_POLL_SECONDS = 1


class Target:
    """One deployed stack: its AWS clients, made when first used, and its outputs."""

    def __init__(
        self,
        session: "boto3.Session",
        *,
        name: str,
        deploy_with: str,
        stack: str = STACK,
        at_once: int = LOCAL_AT_ONCE,
        poll_seconds: int = LOCAL_POLL_SECONDS,
        states_config: Any = None,
        endpoint: str | None = None,
        **options: Any,
    ) -> None:
        """`options` go to each client; that of Step Functions may have a `config` of its own. `deploy_with` is the
        command to run if the stack is not there. `endpoint` is the local cloud's."""
        self.session, self.name, self.deploy_with, self.stack = session, name, deploy_with, stack
        self.at_once, self.poll_seconds = at_once, poll_seconds
        self._histories: dict[str, History] = {}
        self._endpoint = endpoint
        self._options = options
        self._of_states = options | ({"config": states_config} if states_config else {})

    @property
    def is_local(self) -> bool:
        return self._endpoint is not None

    def client(self, service: str) -> Any:
        """Of a service that has no property of its own here."""
        client: Any = self.session.client  # its types know only the services by name
        return client(service, **self._options)

    @cached_property
    def s3(self) -> "S3Client":
        return self.session.client("s3", **self._options)

    @cached_property
    def states(self) -> "SFNClient":
        return self.session.client("stepfunctions", **self._of_states)

    @cached_property
    def sqs(self) -> "SQSClient":
        return self.session.client("sqs", **self._options)

    @cached_property
    def stacks(self) -> "CloudFormationClient":
        return self.session.client("cloudformation", **self._options)

    @cached_property
    def functions(self) -> Any:
        return self.session.client("lambda", **self._options)

    @cached_property
    def logs(self) -> Any:
        return self.session.client("logs", **self._options)

    @cached_property
    def results(self) -> "Table":
        return self.session.resource("dynamodb", **self._options).Table(self.output("ResultsTableName"))

    @cached_property
    def _described(self) -> "StackTypeDef":
        """Raises TargetError if the stack is not deployed."""
        from botocore.exceptions import ClientError

        try:
            return self.stacks.describe_stacks(StackName=self.stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            raise TargetError(f"no stack {self.stack} in {self.name}: run `{self.deploy_with}`") from None

    @property
    def created(self) -> datetime:
        """When the stack was deployed for the first time. Raises TargetError if it is not."""
        return self._described["CreationTime"]

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Raises TargetError if the stack is not deployed. Addresses are those at which this cloud answers: the local
        cloud has none of the names that AWS gives."""
        found = {output["OutputKey"]: output["OutputValue"] for output in self._described.get("Outputs", [])}
        if self._endpoint and "ApiId" in found:
            found["ApiUrl"] = f"{self._endpoint}/_aws/execute-api/{found['ApiId']}"
        return found

    def output(self, name: str) -> str:
        """Raises TargetError if this stack is not one of Darkroom's, or not yet complete."""
        if name not in self.outputs:
            raise TargetError(f"stack {self.stack} in {self.name} has no output {name}: run `{self.deploy_with}`")
        return self.outputs[name]

    def history(self, arn: str) -> History:
        """Of the executions of a state machine: the one of this ARN, or whose execution it is the ARN of."""
        machine = machine_of(arn)
        if machine not in self._histories:
            group = self.log_of(machine)
            self._histories[machine] = (
                Logged(self.logs, self.states, group, machine, where=self.name, created=self.created)
                if group
                else Kept(self.states, machine, self.name)
            )
        return self._histories[machine]

    def log_of(self, machine: str) -> str | None:
        """The log group of a machine that is Express, named as stacks/workflow.py does."""
        name = self.express.get(machine)
        return f"/aws/vendedlogs/states/{self.stack}-{name}" if name else None

    @property
    def express(self) -> dict[str, str]:
        """The machines that are Express, by their ARNs: what the stack calls each."""
        named = EXPRESS if self.is_express else {}
        return {self.outputs[output]: name for output, name in named.items() if output in self.outputs}

    @property
    def is_express(self) -> bool:
        """Whether what makes pictures is an Express workflow: of its executions there are no lists, descriptions and
        histories, but a log."""
        return self.outputs.get("WorkflowKind") == "express"

    @property
    def upload_prefix(self) -> str:
        return self.outputs.get("UploadPrefix", "raw/")

    @property
    def upload_limit(self) -> int:
        """Bytes: what is larger is rejected. A stack of before this output has the usual limit."""
        return int(self.outputs.get("UploadLimitBytes", 50 * 1024 * 1024))


def machine_of(arn: str) -> str:
    """The ARN of the state machine whose execution this is, or which it is itself."""
    parts = arn.split(":")
    return ":".join([*parts[:5], "stateMachine", *parts[6:7]])


def choose(*, aws: bool, stack: str, home: Path) -> Target:
    """AWS only when asked for; else `AWS_ENDPOINT_URL`; else the local cloud. Raises TargetError."""
    if aws:
        if elsewhere := meant_elsewhere():
            raise TargetError(f"{elsewhere}: {WITHOUT_IT}")
        return _account(stack)
    if os.environ.get(ENDPOINT):
        return _endpoint(stack)
    running = cloud.running(home)
    if running is None:
        raise TargetError("no local cloud is running: `darkroom up` starts it; --aws talks to your AWS account")
    return local(running, stack)


def meant_elsewhere() -> str | None:
    """What in the environment or the profile sends requests, of all services or of one, elsewhere than to AWS.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    import botocore.session

    session = botocore.session.Session()
    profile = session.get_scoped_config()
    of_services = session.full_config.get("services", {}).get(profile.get("services"), {})
    named = {"": profile, **of_services}
    name = f"profile {session.profile or 'default'}"
    found = _endpoints_of_shell() | {
        f"{name}, {service}".rstrip(", "): settings["endpoint_url"]
        for service, settings in named.items()
        if "endpoint_url" in settings
    }
    return "AWS is meant, but " + " and ".join(f"{name} says {url}" for name, url in found.items()) if found else None


def _endpoints_of_shell() -> dict[str, str]:
    return {name: url for name, url in sorted(os.environ.items()) if f"{name}_".startswith(f"{ENDPOINT}_") and url}


def local(running: cloud.Cloud, stack: str = STACK) -> Target:
    """The local cloud, whatever the caller's AWS environment says, profile and config file included."""
    import boto3
    import botocore.session

    nobodys = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
    given = running.variables()
    session = boto3.Session(
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        region_name=given["AWS_REGION"],
        botocore_session=botocore.session.Session(session_vars=nobodys),
    )
    return Target(
        session,
        name=f"local cloud at {running.endpoint}",
        deploy_with="darkroom up",
        stack=stack,
        endpoint=running.endpoint,
        endpoint_url=running.endpoint,
        verify=given["AWS_CA_BUNDLE"],
        config=_patience(proxies={}),
    )


def _endpoint(stack: str) -> Target:
    import boto3

    name = "cloud at " + ", ".join(f"{url} ({name})" for name, url in _endpoints_of_shell().items())
    heeded = _patience(ignore_configured_endpoint_urls=False)  # or a variable could send all of it to AWS
    return Target(
        boto3.Session(region_name=_region()),
        name=name,
        deploy_with="darkroom up",
        stack=stack,
        endpoint=os.environ[ENDPOINT],
        config=heeded,
    )


def _account(stack: str) -> Target:
    import boto3

    session = boto3.Session(region_name=_region())
    if session.region_name is None:
        raise TargetError("no AWS region is chosen: set AWS_REGION")
    account = session.client("sts", config=_patience()).get_caller_identity()["Account"]
    name = f"AWS account {account} in {session.region_name}"
    return Target(
        session,
        name=name,
        deploy_with="make deploy",
        stack=stack,
        at_once=AWS_AT_ONCE,
        poll_seconds=AWS_POLL_SECONDS,
        # Executions are described one by one, which an account may do some ten times a second: wait for a turn.
        states_config=_patience(retries={"mode": "adaptive", "max_attempts": 10}),
        config=_patience(),
    )


def _region() -> str | None:
    """What the AWS command line and the other SDKs obey first; boto3 itself reads only AWS_DEFAULT_REGION."""
    return os.environ.get("AWS_REGION")


def _patience(**options: Any) -> Any:
    from botocore.config import Config

    # 16 connections: uploads run 8 at a time while their rows are read
    return Config(**{"connect_timeout": 5, "max_pool_connections": 16, "retries": {"mode": "standard"}, **options})
