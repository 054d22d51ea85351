"""The template: what is asserted here is what neither local engine can show (docs/fidelity.md)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest
from aws_cdk import App, Validations
from aws_cdk.assertions import Match, Template
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import ManualArgs, lint

from darkroom.pipeline import backfill
from stacks.pipeline import Pipeline
from stacks.settings import read_settings
from tests.stacks.conftest import ROOT, context

# The CDK writes DependsOn where a reference already says it.
CDKS_OWN_HABITS = ["W3005"]

KEY = "arn:aws:kms:eu-west-1:111122223333:key/11111111-2222-3333-4444-555555555555"
EVERY_SETTING = {
    "kms_key": KEY,
    "captions": {"enabled": True, "model_id": "eu.amazon.nova-lite-v1:0"},
    "delivery": {
        "enabled": True,
        "domain": "pictures.example.com",
        "certificate": "arn:aws:acm:us-east-1:111122223333:certificate/11111111-2222-3333-4444-555555555555",
        "access_log": True,
        "web_acl": "arn:aws:wafv2:us-east-1:111122223333:global/webacl/x/11111111-2222-3333-4444-555555555555",
    },
    "events": {"enabled": True},
    "webhook": {"url": "https://example.com/hooks?of=darkroom"},
    "functions": {"resize": {"reserved_concurrency": 20, "provisioned_concurrency": 2}},
    "tracing": True,
    "api": {
        "enabled": True,
        "origins": ["https://app.example.com"],
        "jwt": {"issuer": "https://issuer.example.com", "audience": ["web"]},
    },
}


def resources(template: Template, kind: str) -> list[dict]:
    return list(template.find_resources(kind).values())


@pytest.mark.parametrize(
    "settings",
    [{}, EVERY_SETTING, {"uploads_bucket": "my-photos"}, EVERY_SETTING | {"workflow": "express"}],
    ids=["as it comes", "everything on", "a bucket that is there", "express"],
)
def test_cdk_nag_finds_nothing_that_has_no_reason(settings, tmp_path):
    """The AwsSolutions pack passes; each accepted finding carries its reason where it is granted."""
    chosen = context(**settings)
    app = App(context=chosen, outdir=str(tmp_path))
    nag = AwsSolutionsChecks(app)
    Validations.of(app).add_plugins(nag)
    Pipeline(app, "Darkroom", settings=read_settings(chosen))
    try:
        app.synth()
    except RuntimeError:
        report = json.loads((tmp_path / "validation-report.json").read_text())
        pytest.fail(json.dumps(report["pluginReports"][0]["violations"], indent=1))


@pytest.mark.parametrize(
    "settings",
    [{}, EVERY_SETTING, EVERY_SETTING | {"workflow": "express"}],
    ids=["as it comes", "everything on", "express"],
)
def test_cfn_lint_finds_nothing(synth, settings):
    """CloudFormation would take the template, the state machine's definition included."""
    found = lint(
        json.dumps(synth(**settings).to_json()),
        config=ManualArgs(regions=["eu-west-1", "us-east-1"], ignore_checks=CDKS_OWN_HABITS),
    )
    assert [f"{one.rule.id} {one.message}" for one in found] == []


def machine(template: Template, name: str) -> dict:
    """The state machine of that construct."""
    machines = template.find_resources("AWS::StepFunctions::StateMachine")
    [one] = [one for logical_id, one in machines.items() if logical_id.startswith(f"Workflow{name}")]
    return one["Properties"]


MACHINES = [
    ("ImagePipeline", "image_pipeline.asl.json"),
    ("Deletion", "deletion.asl.json"),
    ("Recaption", "recaption.asl.json"),
    ("Backfill", "backfill.asl.json"),
]
RULES = [("upload_rule.json", "Object Created"), ("deletion_rule.json", "Object Deleted")]


def test_nothing_is_custom(template):
    """No custom resource: no Lambda of the CDK's own runs in the account."""
    kinds = {resource["Type"] for resource in template.to_json()["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource"]
    assert len(resources(template, "AWS::Lambda::Function")) == 6


@pytest.mark.parametrize(("name", "file"), MACHINES)
def test_what_is_deployed_is_the_file(synth, name, file):
    """A state machine's definition is the ASL file, letter by letter."""
    template = synth(captions={"enabled": True})
    assert machine(template, name)["DefinitionString"] == (ROOT / "statemachine" / file).read_text()


@pytest.mark.parametrize(("name", "file"), MACHINES)
def test_every_placeholder_is_filled(synth, name, file):
    """Each `${…}` of the file has a substitution, and none is left over."""
    template = synth(captions={"enabled": True})
    placeholders = set(re.findall(r"\$\{(\w+)\}", (ROOT / "statemachine" / file).read_text()))
    assert placeholders == set(machine(template, name)["DefinitionSubstitutions"])


@pytest.mark.parametrize(("file", "takes"), RULES)
def test_the_rule_is_the_file(template, file, takes):
    """A rule's pattern is the JSON file with this stack's bucket and prefix in it."""
    [bucket] = [
        name
        for name, one in template.find_resources("AWS::S3::Bucket").items()
        if "NotificationConfiguration" in one["Properties"]
    ]
    pattern = json.loads((ROOT / "statemachine" / file).read_text().replace("${UploadPrefix}", "raw/"))
    assert pattern["detail"]["bucket"]["name"] == ["${UploadsBucket}"]
    pattern["detail"]["bucket"]["name"] = [{"Ref": bucket}]
    [deployed] = [
        rule["Properties"]["EventPattern"]
        for rule in resources(template, "AWS::Events::Rule")
        if rule["Properties"].get("EventPattern", {}).get("detail-type") == [takes]
    ]
    assert deployed == pattern


def test_the_rules_hear_of_a_bucket_that_was_there_before(synth):
    """By its name, and the stack makes no other for uploads; web pages may upload by the rule that its owner sets."""
    template = synth(uploads_bucket="my-photos", api={"enabled": True, "origins": ["https://app.example.com"]})
    patterns = [one["Properties"].get("EventPattern", {}) for one in resources(template, "AWS::Events::Rule")]
    heard = [one["detail"]["bucket"]["name"] for one in patterns if one.get("source") == ["aws.s3"]]
    assert heard == [["my-photos"]] * len(RULES)
    assert template.find_outputs("UploadsBucketName")["UploadsBucketName"]["Value"] == "my-photos"
    buckets = template.find_resources("AWS::S3::Bucket")
    assert {re.sub("[0-9A-F]{8}$", "", name) for name in buckets} == {"StorageAccessLogs", "StorageRenditions"}
    assert "CorsConfiguration" not in json.dumps(buckets)


def test_an_event_that_cannot_be_delivered_becomes_a_letter(template):
    """The target of each rule on S3's events has the dead-letter queue, which lets just these rules write."""
    [queue_name] = template.find_resources("AWS::SQS::Queue")
    rules = {
        name: rule["Properties"]
        for name, rule in template.find_resources("AWS::Events::Rule").items()
        if rule["Properties"].get("EventPattern", {}).get("source") == ["aws.s3"]
    }
    assert len(rules) == len(RULES)
    for rule in rules.values():
        [target] = rule["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [queue_name, "Arn"]}}
    [policy] = resources(template, "AWS::SQS::QueuePolicy")
    allowed = [one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    assert {one["Principal"]["Service"] for one in allowed} == {"events.amazonaws.com"}
    sources = [one["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::GetAtt"][0] for one in allowed]
    assert sorted(sources) == sorted(rules)


def test_the_sweep_hears_of_every_execution_that_died(template):
    """Of both state machines that have rows, by the file's pattern, and on a schedule."""
    every = template.find_resources("AWS::StepFunctions::StateMachine")
    machines = [name for name in every if not name.startswith("WorkflowBackfill")]
    rules = [one["Properties"] for one in resources(template, "AWS::Events::Rule")]
    [ended] = [one["EventPattern"] for one in rules if one.get("EventPattern", {}).get("source") == ["aws.states"]]
    file = json.loads((ROOT / "statemachine/ended_rule.json").read_text())
    assert sorted(one["Ref"] for one in ended["detail"].pop("stateMachineArn")) == sorted(machines)
    del file["detail"]["stateMachineArn"]
    assert ended == file
    assert [one["ScheduleExpression"] for one in rules if "ScheduleExpression" in one] == ["rate(15 minutes)"]


def test_the_sweep_knows_how_long_an_execution_may_last(template):
    """One that began so long ago may have ended just now."""
    [sweep] = [
        one["Properties"]
        for one in resources(template, "AWS::Lambda::Function")
        if one["Properties"]["Handler"] == "functions.sweep.handler"
    ]
    limit = json.loads((ROOT / "statemachine/image_pipeline.asl.json").read_text())["TimeoutSeconds"]
    assert int(sweep["Environment"]["Variables"]["LONGEST_EXECUTION_SECONDS"]) >= limit


@pytest.mark.parametrize("provisioned", [None, 1])
def test_lambda_does_not_call_the_sweep_again(synth, provisioned):
    """Whichever of its versions is called: the next scheduled call does what one left."""
    template = synth(functions={"sweep": {"provisioned_concurrency": provisioned}} if provisioned else {})
    [once] = resources(template, "AWS::Lambda::EventInvokeConfig")
    assert once["Properties"]["MaximumRetryAttempts"] == 0
    called = {
        json.dumps(target["Arn"])
        for rule in resources(template, "AWS::Events::Rule")
        for target in rule["Properties"]["Targets"]
        if "Sweep" in json.dumps(target["Arn"])
    }
    assert len(called) == 1
    assert (once["Properties"]["Qualifier"] == "$LATEST") is (provisioned is None)


def test_no_function_reserves_concurrency_by_itself(template):
    """A new account has ten places, of which none can be reserved: its deployment would fail."""
    functions = resources(template, "AWS::Lambda::Function")
    assert not [one for one in functions if "ReservedConcurrentExecutions" in one["Properties"]]


def test_buckets_are_closed(template):
    """Every bucket is encrypted, refuses public access and ACLs, and takes TLS only."""
    buckets = template.find_resources("AWS::S3::Bucket")
    assert len(buckets) == 3
    for bucket in buckets.values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    policies = resources(template, "AWS::S3::BucketPolicy")
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    for policy in policies:
        denials = [one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
        assert insecure in [one["Condition"] for one in denials]
    assert {policy["Properties"]["Bucket"]["Ref"] for policy in policies} == set(buckets)


def test_rows_and_letters_are_encrypted_at_rest(template):
    """The table by a key that AWS manages, the queue by SQS's own."""
    for table in resources(template, "AWS::DynamoDB::Table"):
        assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    [queue] = resources(template, "AWS::SQS::Queue")
    assert queue["Properties"]["SqsManagedSseEnabled"] is True


def test_a_key_of_ones_own_encrypts_all_that_is_kept(synth):
    """Pictures, rows, letters, alarms, logs, secrets; not the access logs, which S3 delivers only under its own
    encryption."""
    template = synth(**{**EVERY_SETTING, "delivery": {"enabled": True}})  # whose access logs are as S3's
    encrypted = {
        "AWS::S3::Bucket": "KMSMasterKeyID",
        "AWS::DynamoDB::Table": "KMSMasterKeyId",
        "AWS::SQS::Queue": "KmsMasterKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SecretsManager::Secret": "KmsKeyId",
    }
    without = [
        name
        for kind, member in encrypted.items()
        for name, resource in template.find_resources(kind).items()
        if f'"{member}": "{KEY}"' not in json.dumps(resource)
    ]
    [access_logs] = without
    assert access_logs.startswith("StorageAccessLogs")
    own = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert template.find_resources("AWS::S3::Bucket")[access_logs]["Properties"]["BucketEncryption"] == {
        "ServerSideEncryptionConfiguration": [own]
    }


def test_old_uploads_are_kept_for_a_while(synth):
    """Uploads are versioned, and a version that was overwritten goes after the days set."""
    synth(old_versions_days=9).has_resource_properties(
        "AWS::S3::Bucket",
        {
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {
                "Rules": [Match.object_like({"NoncurrentVersionExpiration": {"NoncurrentDays": 9}})]
            },
        },
    )


@pytest.mark.parametrize(("policy", "deletion"), [("retain", "RetainExceptOnCreate"), ("destroy", "Delete")])
def test_data_outlives_the_stack_unless_told_otherwise(synth, policy, deletion):
    """`removal_policy` rules over buckets, results and queue. What the sweep remembers is no data."""
    template = synth(removal_policy=policy)
    for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SQS::Queue"):
        found = template.find_resources(kind).items()
        assert {one["DeletionPolicy"] for name, one in found if name.startswith("Storage")} == {deletion}


# The properties whose change makes CloudFormation replace the resource, as its reference says.
FIXED = {
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", "StateMachineType"),
    "AWS::SNS::Topic": ("TopicName", "FifoTopic"),
    "AWS::Logs::LogGroup": ("LogGroupName", "LogGroupClass"),
    "AWS::Lambda::Function": ("FunctionName", "PackageType"),
}


@pytest.mark.parametrize(
    "settings",
    [EVERY_SETTING, {"heic": True, "architecture": "x86_64"}, {"upload_prefix": "in/", "removal_policy": "destroy"}],
    ids=["everything on", "another layer", "another prefix"],
)
def test_no_setting_replaces_what_holds_data_or_a_history(synth, settings):
    """docs/upgrade.md promises it: whatever is set later, the resource and its name stay."""
    before, after = fixed(synth()), fixed(synth(**settings))
    assert {name: after.get(name) for name in before} == before


def test_the_kind_of_workflow_replaces_its_two_machines_and_nothing_else(synth):
    before, after = (fixed(synth(captions={"enabled": True}, workflow=kind)) for kind in ("standard", "express"))
    replaced = sorted(name for name in before if after.get(name) != before[name])
    assert [re.sub("Machine[0-9A-F]+$", "", name) for name in replaced] == [
        "WorkflowImagePipeline",
        "WorkflowRecaption",
    ]


def fixed(template: Template) -> dict[str, list]:
    return {
        name: [one["Properties"].get(each) for each in FIXED[one["Type"]]]
        for name, one in template.to_json()["Resources"].items()
        if one["Type"] in FIXED
    }


def test_the_indexes_are_the_contracts(template):
    """By status and time, whole rows; by status and key, keys only."""
    template.has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-status",
                    "KeySchema": [
                        {"AttributeName": "status", "KeyType": "HASH"},
                        {"AttributeName": "updated_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                },
                {
                    "IndexName": "by-key",
                    "KeySchema": [
                        {"AttributeName": "status", "KeyType": "HASH"},
                        {"AttributeName": "key", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
            ],
        },
    )


# Of the versions that were released: what a stack may be updated from.
INDEXES_OF = {"1.0.0": {"by-status"}}


@pytest.mark.parametrize("released", INDEXES_OF)
def test_from_a_released_version_one_index_is_added_or_removed_at_most(template, released):
    """Of more CloudFormation's update fails: DynamoDB takes one at a time.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-dynamodb-table.html"""
    tables = [one["Properties"] for one in resources(template, "AWS::DynamoDB::Table")]
    indexes = {index["IndexName"] for table in tables for index in table.get("GlobalSecondaryIndexes", [])}
    assert len(indexes ^ INDEXES_OF[released]) <= 1


def test_everything_is_logged_for_the_days_set(synth):
    """Each function and each state machine has a log group with that retention."""
    groups = resources(synth(log_retention_days=60), "AWS::Logs::LogGroup")
    assert [group["Properties"]["RetentionInDays"] for group in groups] == [60] * 9


def test_everything_is_traced_if_that_is_set(synth):
    """X-Ray follows a picture through the state machines and every function."""
    for one in resources(synth(tracing=True), "AWS::StepFunctions::StateMachine"):
        assert one["Properties"]["TracingConfiguration"] == {"Enabled": True}
    for function in resources(synth(tracing=True), "AWS::Lambda::Function"):
        assert function["Properties"]["TracingConfig"] == {"Mode": "Active"}


def test_nothing_is_traced_and_nobody_may_trace_if_it_is_not(template):
    """X-Ray is billed by the trace: off, it costs nothing."""
    for one in resources(template, "AWS::StepFunctions::StateMachine"):
        assert one["Properties"]["TracingConfiguration"] == {"Enabled": False}
    for function in resources(template, "AWS::Lambda::Function"):
        assert "TracingConfig" not in function["Properties"]
    assert "xray:" not in json.dumps(template.to_json())


def test_a_state_machine_logs_what_goes_wrong_and_nothing_else(template):
    """What an upload's event holds, such as the address it came from, is in no error's event."""
    for one in resources(template, "AWS::StepFunctions::StateMachine"):
        logging = one["Properties"]["LoggingConfiguration"]
        assert (logging["Level"], logging["IncludeExecutionData"]) == ("ERROR", True)


def test_no_other_stack_can_fill_the_policy_that_lets_state_machines_log(template):
    """Of log groups with this prefix, CloudWatch Logs keeps no list. Each is named after its stack."""
    names = [one["Properties"].get("LogGroupName") for one in resources(template, "AWS::Logs::LogGroup")]
    start = "/aws/vendedlogs/states/"
    assert [name for name in names if name] == [
        {"Fn::Join": ["", [start, {"Ref": "AWS::StackName"}, f"-{machine}"]]}
        for machine in ("ImagePipeline", "Deletion", "Backfill")
    ]


def test_functions_run_on_graviton_and_the_newest_python(template):
    """arm64 and python3.14, for which every wheel of the layer was found."""
    for function in resources(template, "AWS::Lambda::Function"):
        assert function["Properties"]["Architectures"] == ["arm64"]
        assert function["Properties"]["Runtime"] == "python3.14"


def test_the_functions_share_one_asset(template):
    """Our own code ships once."""
    assert len({json.dumps(one["Properties"]["Code"]) for one in resources(template, "AWS::Lambda::Function")}) == 1


def test_warm_functions_are_called_by_their_alias(synth):
    """Provisioned concurrency belongs to an alias; the state machine must call that and may call only that."""
    template = synth(**{**EVERY_SETTING, "delivery": {"enabled": True}})  # whose access logs are as S3's
    [alias] = template.find_resources("AWS::Lambda::Alias")
    assert machine(template, "ImagePipeline")["DefinitionSubstitutions"]["ResizeFunction"] == {"Ref": alias}
    template.has_resource_properties("AWS::Lambda::Function", {"ReservedConcurrentExecutions": 20})


def test_validate_gives_memory_back(template):
    """glibc heeds these names and no others; without them it keeps what a large picture leaves."""
    variables = {"MALLOC_MMAP_THRESHOLD_": "8388608", "MALLOC_TRIM_THRESHOLD_": "16777216"}
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"Handler": "functions.validate.handler", "Environment": {"Variables": Match.object_like(variables)}},
    )


@pytest.mark.parametrize("setting", ["heic", "jxl", "keep_copyright", "keep_location"])
def test_a_switch_for_pictures_reaches_validate(synth, setting):
    """Validate reads it from its environment as JSON; off is the default."""
    for template, text in ((synth(), "false"), (synth(**{setting: True}), "true")):
        variables = Match.object_like({setting.upper(): text})
        template.has_resource_properties("AWS::Lambda::Function", {"Environment": {"Variables": variables}})


@pytest.mark.parametrize(("enabled", "text"), [(True, "true"), (False, "false")])
def test_captions_are_a_switch_of_the_workflow(synth, enabled, text):
    """Off, no execution calls the model, and nothing is there that would make a caption later."""
    template = synth(captions={"enabled": enabled})
    assert machine(template, "ImagePipeline")["DefinitionSubstitutions"]["CaptionsEnabled"] == text
    assert len(resources(template, "AWS::StepFunctions::StateMachine")) == (4 if enabled else 3)
    assert bool(template.find_outputs("RecaptionStateMachineArn")) is enabled


def texts(part) -> Iterator[str]:
    """Every key and value of a template that is text."""
    if isinstance(part, dict):
        part = [*part, *part.values()]
    if isinstance(part, list):
        for one in part:
            yield from texts(one)
    if isinstance(part, str):
        yield part


SAID_TO_PEOPLE = {
    "Darkroom: an upload becomes renditions and one row that says what happened to it",
    "Darkroom: pictures, in every size",
    "Signs what Darkroom's webhook is sent",
}


def test_two_stacks_of_an_account_share_no_name(synth):
    """What CloudFormation does not name by the stack is named so here: metrics, saved queries, the mails' sender."""
    everything = {name: value for name, value in EVERY_SETTING.items() if name != "delivery"}
    template = synth(stack="Staging-2", delivery={"enabled": True}, **everything).to_json()
    assert {one for one in texts(template) if "Darkroom" in one} <= SAID_TO_PEOPLE
    functions = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    namespaces = [one["Environment"]["Variables"].get("POWERTOOLS_METRICS_NAMESPACE") for one in functions]
    assert namespaces == ["Staging-2"] * 10
    [dashboard] = [one for one in template["Resources"].values() if one["Type"] == "AWS::CloudWatch::Dashboard"]
    assert dashboard["Properties"]["DashboardName"] == "Staging-2"
    assert '{"Staging-2",code,service}' in "".join(texts(template)).replace("\\", "")


def test_a_stack_of_the_usual_name_is_as_it_was_before_it_could_have_another(template):
    """Else every function would be updated for nothing, and the dashboard replaced."""
    assert "DashboardName" not in set(texts(template.to_json()))
    assert "POWERTOOLS_METRICS_NAMESPACE" not in set(texts(template.to_json()))


def test_lost_events_are_searched_for_if_that_is_set(synth, template):
    """A backfill of what is missing, with all that the machine reads of its input. Off, nothing starts one."""
    assert len(resources(template, "AWS::Events::Rule")) == 4
    reconciled = synth(reconcile_days=7, upload_prefix="in/")
    [rule] = [
        one["Properties"]
        for one in resources(reconciled, "AWS::Events::Rule")
        if one["Properties"].get("ScheduleExpression") == "rate(7 days)"
    ]
    [target] = rule["Targets"]
    assert target["Arn"]["Ref"].startswith("WorkflowBackfillMachine")
    given = json.loads(target["Input"])
    assert (given["only"], given["prefix"]) == ("missing", "in/")
    definition = json.loads((ROOT / "statemachine" / "backfill.asl.json").read_text())["States"]["Objects"]
    read = set(re.findall(r'"\$\.(\w+)"', json.dumps(without_children(definition))))
    assert set(given) == read
    assert backfill.given("missing", "in/", 10) == given | {"since": ANY}  # as `darkroom backfill` gives it


def without_children(state):
    return {name: value for name, value in state.items() if name != "ItemProcessor"}


def test_no_file_of_the_code_asset_is_foreign(tmp_path):
    """Only `functions/` is shipped: no tests, no settings, no local state."""
    shipped = Path(asset_of_the_code(tmp_path))
    assert {path.name for path in shipped.iterdir()} == {"functions"}
    assert not list(shipped.rglob("__pycache__"))


def asset_of_the_code(assembly_folder: Path) -> str:
    app = App(context=context(), outdir=str(assembly_folder))
    Pipeline(app, "Darkroom", settings=read_settings(context()))
    assembly = app.synth()
    manifest = json.loads(Path(assembly.directory, "Darkroom.assets.json").read_text())
    [folder] = [
        str(Path(assembly.directory, one["source"]["path"]))
        for one in manifest["files"].values()
        if one["source"]["packaging"] == "zip" and Path(assembly.directory, one["source"]["path"], "functions").exists()
    ]
    return folder
