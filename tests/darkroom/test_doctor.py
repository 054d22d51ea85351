"""The doctor finds what is missing, says how to put it right, and ends with exit code 1 then."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from darkroom.errors import DeployError
from darkroom.local import cloud, deploy
from darkroom.pipeline import buckets, doctor
from darkroom.pipeline.doctor import Doctor
from darkroom.pipeline.target import Target
from tests.darkroom.conftest import LOG, REGION, Stacks, create_bucket, darkroom

PROFILE = "eu.amazon.nova-lite-v1:0"
TEMPLATE = {"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": {}}}}


@pytest.fixture
def healthy(target: Target, account: Stacks, monkeypatch: pytest.MonkeyPatch) -> Stacks:
    """An account where nothing is missing."""
    assert target.output("ResultsTableName")
    account.deployed["CDKToolkit"] = {"BootstrapVersion": "33"}
    account.templates["Darkroom"] = TEMPLATE
    monkeypatch.setattr(deploy, "template", lambda *_: TEMPLATE)
    monkeypatch.setattr(Target, "functions", places(1_000))
    s3: Any = target.s3
    s3.put_bucket_notification_configuration(
        Bucket="uploads", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    s3.put_public_access_block(Bucket="uploads", PublicAccessBlockConfiguration=dict.fromkeys(buckets.EVERYWHERE, True))
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket="uploads", OwnershipControls=enforced)
    return account


def places(limit: int | None) -> SimpleNamespace:
    """Lambda in an account with so many, which moto does not tell; None where nobody may ask."""

    def get_account_settings() -> dict[str, Any]:
        if limit is None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetAccountSettings")
        return {"AccountLimit": {"ConcurrentExecutions": limit}}

    return SimpleNamespace(get_account_settings=get_account_settings)


def look(*, aws: bool = True) -> dict[str, dict[str, Any]]:
    """What `darkroom doctor --json` finds, by the name of the check."""
    result = darkroom(*(["--aws"] if aws else []), "doctor", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 1)
    assert found["ok"] == all(one["state"] != "missing" for one in found["checks"])
    return {one["name"]: one for one in found["checks"]}


def assert_missing(check: dict[str, Any], found: str, fix: str) -> None:
    assert check["state"] == "missing"
    assert found in check["found"]
    assert fix in check["fix"]


@pytest.mark.usefixtures("healthy")
def test_where_nothing_is_missing_all_is_ok():
    found = look()
    assert [name for name, one in found.items() if one["state"] != "ok"] == []
    assert REGION in found["credentials and region"]["found"]


@pytest.mark.usefixtures("healthy")
def test_for_a_person_each_check_is_a_line_with_the_fix_and_its_page_below(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "NODE", 99)
    result = darkroom("--aws", "doctor")
    assert result.exit_code == 1
    [place] = [place for place, line in enumerate(result.stdout.splitlines()) if line.startswith("node ")]
    assert "missing" in result.stdout.splitlines()[place]
    below = result.stdout.splitlines()[place + 1]
    assert "-> install node 99 or newer" in below
    assert below.endswith("(docs/commands.md#what-is-missing-here)")
    assert result.stderr.splitlines()[-1] == "Missing: node"


LOGGED = {
    "level": "ALL",
    "includeExecutionData": True,
    "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": f"arn:aws:logs:x:1:log-group:{LOG}:*"}}],
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"level": "ERROR"}, "ImagePipeline has the level ERROR, and ALL is wanted"),
        ({"level": "OFF", "destinations": []}, "ImagePipeline has the level OFF, and ALL is wanted"),
        ({"includeExecutionData": False}, "ImagePipeline has no execution data, and it is wanted"),
        ({"destinations": []}, f"ImagePipeline has the log group none, and {LOG} is wanted"),
    ],
)
@pytest.mark.usefixtures("healthy")
def test_a_log_that_executions_cannot_be_read_from_is_said(
    express: Target, account: Stacks, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], said: str | None
):
    """Where it is all that is kept of them. Somebody may have changed it by hand."""
    del account.deployed["Darkroom"]["RecaptionStateMachineArn"]
    ask: Any = BaseClient._make_api_call

    def answer(self: Any, name: str, parameters: Any) -> Any:
        if name == "DescribeStateMachine":
            assert parameters == {"stateMachineArn": express.output("StateMachineArn")}
            return {"loggingConfiguration": {**LOGGED, **changed}}
        return ask(self, name, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    check = look()["log of executions"]
    if said is None:
        assert check["state"] == "ok"
    else:
        assert_missing(check, said, "Logging")


SEARCHES = {"Resources": {"OperationsReconciles0A1B2C3D": {"Type": "AWS::Events::Rule"}}}


@pytest.mark.parametrize(("template", "state"), [(TEMPLATE, "note"), (SEARCHES, "ok")])
def test_express_is_advised_to_search_for_lost_uploads(
    express: Target, healthy: Stacks, monkeypatch: pytest.MonkeyPatch, template: dict[str, Any], state: str
):
    """Nothing else finds an upload whose execution died before its row."""
    monkeypatch.setattr(deploy, "template", lambda *_: template)
    healthy.templates["Darkroom"] = template
    check = look()["lost uploads"]
    assert (check["state"], "reconcile_days" in str(check["fix"])) == (state, state == "note")
    del healthy.deployed["Darkroom"]["WorkflowKind"], express
    assert look()["lost uploads"]["state"] == "ok"


def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """A checkout whose lock files and installed CDK are of these versions."""
    folder = tmp_path / "project"
    (folder / "node_modules" / "aws-cdk").mkdir(parents=True)
    locked = {"packages": {"node_modules/aws-cdk": {"version": versions.get("locked", "2.1")}}}
    (folder / "package-lock.json").write_text(json.dumps(locked))
    if "cdk" in versions:
        (folder / "node_modules" / "aws-cdk" / "package.json").write_text(json.dumps({"version": versions["cdk"]}))
    (folder / "requirements.txt").write_text(versions.get("requirements", ""))
    monkeypatch.setattr(doctor, "PROJECT", folder)


def test_a_package_that_is_not_as_locked_is_named_and_one_of_another_system_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rich = "rich==0.1 \\\n    --hash=sha256:00\nnowhere==1.0 \\\n    --hash=sha256:00\n"
    project(tmp_path, monkeypatch, requirements=f"{rich}colorama==1 ; sys_platform == 'nonesuch' \\\n")
    check = look()["Python packages"]
    assert_missing(check, "nowhere missing", "make install")
    assert "rich 1" in check["found"]
    assert "colorama" not in check["found"]


@pytest.mark.parametrize(("versions", "said"), [({}, "not in"), ({"cdk": "2.0"}, "2.0, and package-lock.json has 2.1")])
def test_a_cdk_that_is_not_as_locked_is_missing(
    versions: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project(tmp_path, monkeypatch, **versions)
    assert_missing(look()["CDK command line"], said, "make install")


def test_no_node_and_no_npm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = look()
    assert_missing(found["node"], "not on the PATH", "nodejs.org")
    assert found["npm"]["state"] == "note"


def test_another_python(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "PYTHONS", ((3, 98), (3, 99)))
    assert_missing(look()["Python"], "needs 3.98 to 3.99", "make install PYTHON=")


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "LEAST_FREE", 1 << 80)
    assert_missing(look()["disk"], "free at", "DARKROOM_HOME")


def test_a_certificate_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/authority.pem")
    assert_missing(look(aws=False)["shell"], "/nowhere/authority.pem", "unset AWS_CA_BUNDLE")


def test_a_shell_of_the_local_cloud_where_aws_is_meant(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:1")
    found = look()
    assert_missing(found["shell"], "AWS_ENDPOINT_URL says https://localhost:1", "a shell without it")
    assert found["stack"]["state"] == "skipped"


def test_no_local_cloud(monkeypatch: pytest.MonkeyPatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        monkeypatch.setattr(cloud, "USUAL_PORT", taken.getsockname()[1])
        found = look(aws=False)
    assert_missing(found["local cloud"], "is not running", "darkroom up")
    assert found["port"]["state"] == "note"
    assert "looks for another" in found["port"]["found"]
    assert {found[name]["state"] for name in ("stack", "stack's version")} == {"skipped"}


def test_no_credentials(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_REGION", REGION)
    found = look()
    assert_missing(found["credentials and region"], "no usable AWS credentials", "sign in")
    assert found["CDK bootstrap"]["state"] == "skipped"


@pytest.mark.usefixtures("account")
def test_no_region(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert_missing(look()["credentials and region"], "no AWS region", "set AWS_REGION")


@pytest.mark.parametrize(("version", "said"), [(None, "no stack CDKToolkit"), ("5", "version 5, and 6 is needed")])
def test_an_account_that_is_not_bootstrapped_enough(version: str | None, said: str, healthy: Stacks):
    healthy.deployed.pop("CDKToolkit")
    if version:
        healthy.deployed["CDKToolkit"] = {"BootstrapVersion": version}
    assert_missing(look()["CDK bootstrap"], said, "npx cdk bootstrap")


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(
    ("limit", "found", "fix"),
    [(10, "10: some 5 pictures a second", "Service Quotas"), (None, "not known", "lambda:GetAccountSettings")],
)
def test_an_account_with_few_places_is_told_so_and_is_not_ill(limit, found, fix, monkeypatch: pytest.MonkeyPatch):
    """A burst takes longer there; nothing is missing."""
    monkeypatch.setattr(Target, "functions", places(limit))
    check = look()["functions at once"]
    assert check["state"] == "note"
    assert found in check["found"]
    assert fix in check["fix"]


def test_no_stack(healthy: Stacks):
    healthy.deployed.pop("Darkroom")
    found = look()
    assert_missing(found["stack"], "no stack Darkroom", "make deploy")
    assert found["stack's version"]["state"] == "skipped"


OWN, ANOTHER = (f"arn:aws:kms:{REGION}:123456789012:key/{name}" for name in ("own", "another"))


def encrypt(target: Target, key: str | None) -> None:
    default: Any = {"SSEAlgorithm": "aws:kms", **({"KMSMasterKeyID": key} if key else {})}
    rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    target.s3.put_bucket_encryption(Bucket="uploads", ServerSideEncryptionConfiguration=rules)


def test_a_bucket_that_tells_nobody_of_its_uploads(healthy: Stacks, target: Target):
    """The command to run is there."""
    target.s3.put_bucket_notification_configuration(Bucket="uploads", NotificationConfiguration={})
    assert_missing(look()["uploads bucket"], "does not tell EventBridge", "darkroom --aws adopt uploads")
    assert healthy


def test_a_bucket_in_another_region(healthy: Stacks, target: Target):
    create_bucket(target, "far", "eu-west-1")
    healthy.deployed["Darkroom"]["UploadsBucketName"] = "far"
    assert_missing(look()["uploads bucket"], "far is in eu-west-1", "deploy the stack in eu-west-1")


def test_a_bucket_that_is_not_there(healthy: Stacks):
    """CloudFormation takes any name."""
    healthy.deployed["Darkroom"]["UploadsBucketName"] = "nowhere"
    assert_missing(look()["uploads bucket"], "there is no bucket of that name", "set uploads_bucket to one")


@pytest.mark.parametrize(
    ("key", "state", "said"),
    [
        (None, "ok", "by keys that need no grant"),
        ("arn:aws:kms:eu-central-1:123456789012:alias/aws/s3", "ok", "by keys that need no grant"),
        (OWN, "ok", "by the key that is set as kms_key"),
        ("own", "ok", "by the key that is set as kms_key"),
        (ANOTHER, "missing", f"by {ANOTHER}, which the functions may not use"),
        ("alias/photos", "note", f"by alias/photos: see that it is the alias of kms_key, which is {OWN}"),
    ],
)
def test_a_bucket_whose_key_the_functions_may_not_use(healthy: Stacks, target: Target, key, state, said):
    """S3 names a key by its ARN, its id or an alias, as it was set."""
    validate = {"Properties": {"Environment": {"Variables": {"KMS_KEY": OWN}}}}
    healthy.templates["Darkroom"] = {"Resources": {"Validate": validate}}
    encrypt(target, key)
    check = look()["bucket's encryption"]
    assert (check["state"], check["found"]) == (state, said)


def test_a_bucket_that_is_set_otherwise_than_ours(healthy: Stacks, target: Target):
    """Nothing of it keeps a picture from its way."""
    create_bucket(target, "bare")
    healthy.deployed["Darkroom"]["UploadsBucketName"] = "bare"
    check = look()["bucket's protection"]
    assert check["state"] == "note"
    for said in ("it keeps no versions", "it does not block public access", "it takes ACLs"):
        assert said in check["found"]


def test_who_may_not_ask_about_the_bucket_is_told_what_allows_it(
    healthy: Stacks, target: Target, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "GetBucketLocation")

    monkeypatch.setattr(buckets, "region", refuse)
    check = look()["uploads bucket"]
    assert (check["state"], check["found"]) == ("note", "not known")
    assert healthy
    assert target


def test_a_stack_that_is_not_whole(healthy: Stacks):
    healthy.deployed["Darkroom"].pop("ResultsTableName")
    assert_missing(look()["stack"], "has no output ResultsTableName", "make deploy")


@pytest.mark.usefixtures("healthy")
def test_a_checkout_that_makes_no_stack(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise DeployError("app.py failed: darkroom: caption: there is no such setting")

    monkeypatch.setattr(deploy, "template", refuse)
    assert_missing(look()["stack's version"], "caption: there is no such setting", "npx cdk synth")


def test_a_stack_is_compared_with_what_its_own_settings_make(
    healthy: Stacks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """By its name, and by the file that it was deployed with."""
    given: list[dict[str, str]] = []
    monkeypatch.setattr(deploy, "template", lambda settings, _: given.append(settings) or TEMPLATE)
    for stacks in (healthy.deployed, healthy.templates):
        stacks["Staging"] = stacks["Darkroom"]
    file = tmp_path / "staging.json"
    file.write_text("{}")
    result = darkroom("--aws", "--stack", "Staging", "doctor", "--settings", file, "--json")
    assert {one["name"]: one["state"] for one in json.loads(result.stdout)["checks"]}["stack's version"] == "ok"
    assert given == [{"stack": "Staging", "settings": str(file)}]


def test_what_aws_refuses_is_said_in_its_words(healthy: Stacks, monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DescribeStacks")

    monkeypatch.setattr(healthy, "describe_stacks", refuse)
    assert_missing(look()["CDK bootstrap"], "not you", "allow it")


def test_a_stack_of_another_version_names_what_differs(healthy: Stacks):
    table = {"Type": "AWS::DynamoDB::Table", "Properties": {"BillingMode": "PROVISIONED"}}
    healthy.templates["Darkroom"] = {"Resources": {"Table": table, "Old": {"Type": "AWS::SQS::Queue"}}}
    check = look()["stack's version"]
    assert_missing(check, "in 2 resources: Old, Table", "make deploy")


@pytest.fixture
def bedrock(healthy: Stacks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """A stack whose captions ask a model. The stub checks what Bedrock is asked by the service's own model."""
    variables = {"Variables": {"CAPTIONS": json.dumps({"model_id": PROFILE})}}
    template = {
        "Resources": {
            "Machine": {"Type": "Machine", "Properties": {"DefinitionSubstitutions": {"CaptionsEnabled": "true"}}},
            "Caption": {"Type": "Function", "Properties": {"Environment": variables}},
        }
    }
    healthy.templates["Darkroom"] = template
    monkeypatch.setattr(deploy, "template", lambda *_: template)
    client = boto3.client("bedrock-runtime", region_name=REGION, config=Config(retries={"total_max_attempts": 1}))
    monkeypatch.setattr(Target, "client", lambda _, service: {"bedrock-runtime": client}[service])
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def test_a_model_that_answers(bedrock: Stubber):
    """It is asked by the deployed id, an inference profile's included, and a few tokens are all it may say."""
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4},
        "metrics": {"latencyMs": 5},
    }
    asked = {"modelId": PROFILE, "messages": ANY, "inferenceConfig": {"maxTokens": 5}}
    bedrock.add_response("converse", answer, asked)
    check = look()["model for captions"]
    assert (check["state"], check["found"]) == ("ok", f"{PROFILE} answers")


@pytest.mark.parametrize(
    ("code", "said", "state", "fix"),
    [
        (
            "AccessDeniedException",
            "You don't have access to the model with the specified ID",
            "missing",
            "Model access",
        ),
        (
            "AccessDeniedException",
            "You are not authorized to perform: bedrock:InvokeModel",
            "note",
            "has its own grant",
        ),
        ("ValidationException", "with on-demand throughput isn't supported", "missing", "list-inference-profiles"),
        ("ResourceNotFoundException", "This model version has reached its end", "missing", "captions.model_id"),
        ("ThrottlingException", "Too many requests", "note", "Service Quotas"),
        ("ServiceQuotaExceededException", "Too many tokens", "note", "Service Quotas"),
        (
            "ServiceUnavailableException",
            "Bedrock is unable to process your request",
            "note",
            "redrive --caption-failed",
        ),
    ],
)
def test_a_model_that_does_not_answer(bedrock: Stubber, code: str, said: str, state: str, fix: str):
    """Bedrock's own words, the region, and what to do about them. What passes by itself is not missing."""
    bedrock.add_client_error("converse", code, said)
    check = look()["model for captions"]
    assert check["found"] == f"{PROFILE} does not answer in {REGION}: {code}: {said}"
    assert check["state"] == state
    assert fix in check["fix"]


def test_without_captions_no_model_is_asked(healthy: Stacks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Target, "client", lambda *_: pytest.fail("it asks"))
    assert healthy
    assert look()["model for captions"]["found"] == "captions are off"


def test_quick_synthesises_nothing(healthy: Stacks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(deploy, "template", lambda *_: pytest.fail("it synthesises"))
    assert darkroom("--aws", "doctor", "--quick").exit_code == 0
    assert healthy


def test_an_error_that_only_its_traceback_explains_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(_: Doctor) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Doctor, "_python", broken)
    ill = Doctor(aws=True, stack="Darkroom", home=tmp_path)
    [(_, first), *_] = ill.checks()
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        first()
