"""The local cloud's life: real processes, each in a home of its own, beside whatever the person runs."""

import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from darkroom.errors import CloudError
from darkroom.local import cloud, deploy, locks
from darkroom.local.cloud import Cloud
from darkroom.pipeline.target import local
from tests.aws import create_results_table
from tests.darkroom.conftest import darkroom


@pytest.fixture
def home() -> Iterator[Path]:
    """Also the home of the commands: `DARKROOM_HOME` names it."""
    home = cloud.home_folder()
    yield home
    cloud.stop(home)


@pytest.fixture
def started(home: Path) -> Cloud:
    return start(home)


def start(home: Path, **options: object) -> Cloud:
    home.mkdir(exist_ok=True)
    return cloud.start(home, port=free_port(), **options)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def kill(running: Cloud) -> None:
    os.kill(running.pid, signal.SIGKILL)
    wait_for_end(running)


def wait_for_end(running: Cloud) -> None:
    wait_until(lambda: cloud.running(running.home) is None, "it lives on")


def test_it_answers_over_tls_and_says_where(started: Cloud):
    assert started.healthy()
    assert cloud.running(started.home) == started
    assert started.endpoint.startswith("https://localhost:")


def test_iam_is_enforced(started: Cloud):
    """A user without any policy may do nothing; the account's root, whom the tool is, may."""
    target = local(started)
    options = {"endpoint_url": started.endpoint, "verify": started.variables()["AWS_CA_BUNDLE"]}
    iam = target.session.client("iam", **options)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    nobodys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    with pytest.raises(ClientError, match="AccessDenied"):
        target.session.client("s3", **options, **nobodys).list_buckets()
    assert target.s3.list_buckets()["Buckets"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without being asked")
def test_nobody_else_on_the_network_reaches_it(started: Cloud):
    """A listener on all of the machine's addresses would answer at this one too."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", started.port), timeout=2)


def test_started_twice_it_is_one_cloud_and_says_so(started: Cloud):
    result = darkroom("up", "--no-deploy")
    assert result.exit_code == 0
    assert f"The local cloud runs already, since {started.since}" in result.stderr
    assert cloud.running(started.home) == started


def test_the_wish_for_another_port_is_refused_while_it_runs(started: Cloud):
    result = darkroom("up", "--no-deploy", "--port", str(free_port()))
    assert result.exit_code == 1
    assert f"already runs on port {started.port}" in result.stderr.splitlines()[-1]


def test_a_port_that_is_taken_is_one_line(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = darkroom("up", "--no-deploy", "--port", other.getsockname()[1])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"darkroom: port {other_port(result.stderr)} is taken")
    assert cloud.running(home) is None


def other_port(text: str) -> str:
    return text.split("port ")[1].split(" ")[0]


def test_without_a_port_it_takes_its_last_one_or_else_a_free_one(home: Path):
    first = start(home)
    cloud.stop(home)
    assert cloud.start(home).port == first.port
    cloud.stop(home)
    with socket.create_server(("127.0.0.1", first.port)):
        assert cloud.start(home).port != first.port


def test_two_clouds_started_at_once_get_a_port_each(tmp_path: Path):
    """The port is bound before the process begins, so that no two can find the same one free."""
    homes = [tmp_path / "one", tmp_path / "other"]
    try:
        with ThreadPoolExecutor() as workers:
            ports = {one.port for one in workers.map(cloud.start, homes)}
        assert len(ports) == 2
    finally:
        for home in homes:
            cloud.stop(home)


def test_what_it_held_is_there_after_down_and_up(started: Cloud):
    """Pictures with all their versions, and the tables."""
    s3 = local(started).s3
    s3.create_bucket(Bucket="uploads")
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    versions = [
        s3.put_object(Bucket="uploads", Key="raw/a b+é.jpg", Body=body)["VersionId"] for body in (b"one", b"two")
    ]
    assert darkroom("down").exit_code == 0
    s3 = local(start(started.home)).s3
    found = [
        s3.get_object(Bucket="uploads", Key="raw/a b+é.jpg", VersionId=version)["Body"].read() for version in versions
    ]
    assert found == [b"one", b"two"]


def test_what_it_held_is_there_when_the_machine_was_shut_down_in_between(started: Cloud):
    """The system ends it with SIGTERM, without `darkroom down`."""
    local(started).s3.create_bucket(Bucket="uploads")
    os.kill(started.pid, signal.SIGTERM)
    wait_for_end(started)
    assert [one["Name"] for one in local(start(started.home)).s3.list_buckets()["Buckets"]] == ["uploads"]


def test_killed_it_has_what_it_held(started: Cloud):
    """Objects with their versions, rows, letters, and what was set up; a second kill finds nothing else."""
    target = local(started)
    target.s3.create_bucket(Bucket="uploads")
    create_results_table(target.client("dynamodb"), "Rows")
    queue = target.sqs.create_queue(QueueName="Letters")["QueueUrl"]
    for key in ("a", "b"):
        target.client("dynamodb").put_item(TableName="Rows", Item={"key": {"S": key}})
    target.client("dynamodb").delete_item(TableName="Rows", Key={"key": {"S": "a"}})
    target.sqs.send_message(QueueUrl=queue, MessageBody="letter")
    wait_until_written(started, "letter")
    for _ in range(2):
        target.s3.put_object(Bucket="uploads", Key="raw/cat.jpg", Body=b"cat")
        kill(cloud.running(started.home))
        result = darkroom("up", "--no-deploy")
        assert (result.exit_code, "The local cloud was killed. It goes on" in result.stderr) == (0, True)
        target = local(cloud.running(started.home))
        assert target.s3.get_object(Bucket="uploads", Key="raw/cat.jpg")["Body"].read() == b"cat"
        rows = target.client("dynamodb").scan(TableName="Rows")["Items"]
        assert rows == [{"key": {"S": "b"}}]
        [message] = target.sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"]
        assert message["Body"] == "letter"


WAITING = """
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: Half}}
  Signal: {Type: AWS::CloudFormation::WaitConditionHandle}
  Wait: {Type: AWS::CloudFormation::WaitCondition, DependsOn: Queue, Properties: {Handle: !Ref Signal, Timeout: 600}}
"""


def test_killed_over_a_deployment_it_has_the_stacks_of_before(started: Cloud):
    """A stack that is half there could be neither updated nor removed. What else happened meanwhile is kept."""
    target = local(started)
    create_results_table(target.client("dynamodb"), "Rows")
    wait_until_written(started, "Rows")
    target.stacks.create_stack(StackName="Half", TemplateBody=WAITING)
    wait_until(lambda: target.sqs.list_queues().get("QueueUrls"), "its queue")
    target.client("dynamodb").put_item(TableName="Rows", Item={"key": {"S": "meanwhile"}})
    wait_until_written(started, "meanwhile")
    kill(started)
    target = local(start(started.home))
    assert target.stacks.describe_stacks()["Stacks"] == []
    assert target.sqs.list_queues().get("QueueUrls", []) == []
    assert target.client("dynamodb").scan(TableName="Rows")["Count"] == 1


def wait_until(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait_until_written(running: Cloud, text: str) -> None:
    """It is in the journal, which anybody may read meanwhile."""
    with closing(sqlite3.connect(running.home / "data" / "state" / "memory.sqlite")) as journal:
        asked = "SELECT 1 FROM records WHERE instr(value, ?) OR instr(key, ?)"
        wait_until(lambda: journal.execute(asked, (text, text)).fetchone(), f"{text} is written down")


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[str]]:
    """A process that has nothing to do with any cloud."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        yield process
        assert process.communicate("it lives")[0] == "it lives"


def note_pid(home: Path, pid: int) -> None:
    noted = home / "cloud.json"
    noted.write_text(json.dumps(json.loads(noted.read_text()) | {"pid": pid}))


def test_another_process_with_its_pid_is_left_alone(started: Cloud, innocent: subprocess.Popen[str]):
    """After a kill the system may have given the number to anybody, and others may look at the same moment."""
    kill(started)
    note_pid(started.home, innocent.pid)
    files = [os.open(started.home / name, os.O_RDONLY) for name in ("lock", "starting")]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX)
    assert cloud.running(started.home) is None
    result = darkroom("down")
    assert (result.exit_code, result.stderr.strip()) == (0, "The local cloud is not running")
    for file in files:
        os.close(file)


def test_down_ends_the_process_that_is_the_cloud_whatever_is_noted(started: Cloud, innocent: subprocess.Popen[str]):
    note_pid(started.home, innocent.pid)
    assert cloud.running(started.home) == started
    assert darkroom("down").exit_code == 0
    assert cloud.running(started.home) is None


def test_a_pid_that_is_another_processs_by_now_is_not_asked_to_end(started: Cloud, innocent: subprocess.Popen[str]):
    """Between the look and the signal the cloud may end, and its number go to somebody else."""
    locks.end_holder(started.home / "lock", innocent.pid)
    assert cloud.running(started.home) == started


def test_two_that_start_it_at_once_after_a_kill_have_the_same_cloud(started: Cloud):
    """The second waits for the first. It does not take the dead one for the cloud that another has just started."""
    kill(started)
    with ThreadPoolExecutor() as workers:
        clouds = list(workers.map(cloud.start, [started.home] * 3))
    assert {one.pid for one in clouds} == {cloud.running(started.home).pid}
    assert started.pid not in {one.pid for one in clouds}


def test_down_frees_the_port_soon_though_a_client_holds_a_connection(started: Cloud):
    """An open page or program must not hold it up."""
    s3 = local(started).s3
    s3.list_buckets()
    before = time.monotonic()
    assert darkroom("down").exit_code == 0
    assert time.monotonic() - before < 30  # seconds, for which Python would wait for each client
    socket.create_server(("127.0.0.1", started.port)).close()
    assert s3 is not None  # until here its connections were open


def test_a_cloud_that_ends_at_once_says_where_to_look(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CloudError, match=r"ended at once.*cloud\.log"):
        start(home)
    assert cloud.running(home) is None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads the environment of a process in /proc")
def test_no_variable_of_the_shell_reaches_the_functions_unasked(home: Path):
    """They inherit the emulator's environment. What steers the emulator itself is passed on, and the way out."""
    shell = {"PATH": os.environ["PATH"], "RENDITIONS": "[]", "AWS_PROFILE": "mine", "SFN_WAIT_SCALE": "0"}
    shell["HTTPS_PROXY"] = "http://127.0.0.1:9"
    started = start(home, env=shell)
    environ = Path(f"/proc/{started.pid}/environ").read_bytes().split(b"\0")
    assert {b"SFN_WAIT_SCALE=0", b"HTTPS_PROXY=http://127.0.0.1:9", b"NO_PROXY=localhost,127.0.0.1"} <= set(environ)
    assert not [one for one in environ if one.startswith((b"RENDITIONS=", b"AWS_PROFILE="))]


@pytest.mark.parametrize(("url", "noted"), [("http://localhost:9", "http://localhost:9"), ("", None)])
def test_it_is_noted_whose_model_answers_for_bedrock(url: str, noted: str | None, home: Path):
    """The shell that asks later may have another server in its environment, or none."""
    start(home, env={"PATH": os.environ["PATH"], "MINISTACK_BEDROCK_PROXY_URL": url})
    assert cloud.running(home).bedrock == noted


@pytest.mark.usefixtures("started")
def test_env_points_the_plain_aws_command_line_at_it():
    """Also in a shell that is signed in elsewhere and goes to the world through a proxy."""
    tools = Path(sys.executable).parent
    script = f'eval "$({tools}/darkroom env)" && {tools}/aws sts get-caller-identity --query Account --output text'
    elsewhere = dict.fromkeys(["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"], "elsewhere")
    shell = {**os.environ, **elsewhere, "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": "example.com"}
    said = subprocess.run(["sh", "-c", script], env=shell, capture_output=True, text=True, check=False)
    assert (said.stdout.strip(), said.returncode) == ("000000000000", 0), said.stderr


@pytest.mark.usefixtures("started")
def test_env_said_twice_adds_its_hosts_once(monkeypatch: pytest.MonkeyPatch):
    """What the person excepted from the proxy stays so."""
    monkeypatch.setenv("NO_PROXY", "example.com,localhost")
    lines = darkroom("env").stdout.splitlines()
    assert "export NO_PROXY=example.com,localhost,127.0.0.1" in lines
    assert "export no_proxy=example.com,localhost,127.0.0.1" in lines


def test_status_as_json_says_where_it_is_and_that_nothing_is_deployed(started: Cloud):
    result = darkroom("status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "running": True,
        "endpoint": started.endpoint,
        "since": started.since,
        "pid": started.pid,
        "log": str(started.log),
        "stack": None,
        "attention": None,
    }


def test_without_a_cloud_every_command_says_what_to_run(home: Path):
    status = darkroom("status", "--json")
    assert (status.exit_code, json.loads(status.stdout)) == (1, {"running": False, "stack": None, "attention": None})
    for command in (["env"], ["results"], ["executions"], ["redrive"], ["inspect", "a"], ["upload", "a"]):
        result = darkroom(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "`darkroom up` starts it" in result.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    ("missing", "said"), [("cdk", "run `make install`"), ("node", "node is not installed")], ids=["cdk", "node"]
)
def test_a_missing_tool_is_said_before_anything_starts(
    missing: str, said: str, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    if missing == "cdk":
        monkeypatch.setattr(deploy, "CDK", tmp_path / "cdk")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    result = darkroom("up")
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert cloud.running(home) is None


@pytest.mark.usefixtures("home")
def test_a_setting_without_a_value_or_without_a_deployment_is_a_mistake_in_the_command():
    assert darkroom("up", "--set", "captions.enabled").exit_code == 2
    assert darkroom("up", "--no-deploy", "--set", "captions.enabled=true").exit_code == 2
