"""Which cloud a command talks to: never a real account unless asked."""

import json
from pathlib import Path

import pytest
from botocore.utils import JSONFileCache, LoginTokenLoader

from darkroom.errors import TargetError
from darkroom.local import homes
from darkroom.local.cloud import Cloud
from darkroom.pipeline.target import Target, choose, local
from tests.darkroom.conftest import REGION, Stacks, darkroom


def chosen(home: Path, *, aws: bool = False) -> Target:
    return choose(aws=aws, stack="Darkroom", home=home)


@pytest.mark.usefixtures("account")
def test_credentials_alone_do_not_choose_an_account(tmp_path: Path):
    """A person who is signed in to AWS and runs a command gets told the two choices, not AWS."""
    with pytest.raises(TargetError, match=r"`darkroom up` starts it; --aws"):
        chosen(tmp_path)


@pytest.mark.usefixtures("account")
def test_aws_is_chosen_by_its_option_and_named_with_account_and_region(tmp_path: Path):
    assert chosen(tmp_path, aws=True).name == f"AWS account 123456789012 in {REGION}"


@pytest.mark.usefixtures("account")
def test_executions_of_an_account_are_asked_for_at_the_rate_that_it_allows(tmp_path: Path):
    """Each is described by itself. The other services are told sooner that nobody answers."""
    found = chosen(tmp_path, aws=True)
    assert found.states.meta.config.retries == {"mode": "adaptive", "total_max_attempts": 11}
    assert found.s3.meta.config.retries == {"mode": "standard"}
    assert found.states.meta.config.connect_timeout == 5


def test_an_endpoint_in_the_environment_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    found = chosen(tmp_path)
    assert "https://localhost:1" in found.name
    assert found.s3.meta.endpoint_url == "https://localhost:1"


def test_an_endpoint_and_the_option_for_aws_contradict_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:1")
    with pytest.raises(TargetError, match="AWS_ENDPOINT_URL says https://localhost:1"):
        chosen(tmp_path, aws=True)


def test_an_endpoint_of_one_service_contradicts_the_option_for_aws_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://stranger:9")
    with pytest.raises(TargetError, match="AWS_ENDPOINT_URL_S3 says http://stranger:9: use a shell without it"):
        chosen(tmp_path, aws=True)


@pytest.mark.parametrize(
    ("profile", "services", "said"),
    [
        ("endpoint_url = http://stranger:9", "", "profile there says http://stranger:9"),
        ("services = own", "[services own]\ns3 =\n  endpoint_url = http://stranger:9", "profile there, s3 says http"),
        ("services = own", "[services own]\ndynamodb =\n  endpoint_url = http://s:9", "profile there, dynamodb says"),
    ],
)
def test_so_does_one_in_the_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile, services, said):
    (tmp_path / "config").write_text(f"[profile there]\nregion = {REGION}\n{profile}\n{services}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "there")
    with pytest.raises(TargetError, match=said):
        chosen(tmp_path, aws=True)


def test_every_endpoint_of_the_shell_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Before anything is sent there. And none is passed over on the way to AWS, which nobody asked for."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://stranger:9")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    found = chosen(tmp_path)
    assert found.name == "cloud at https://localhost:1 (AWS_ENDPOINT_URL), http://stranger:9 (AWS_ENDPOINT_URL_S3)"
    assert found.s3.meta.endpoint_url == "http://stranger:9"
    assert found.sqs.meta.endpoint_url == "https://localhost:1"


def test_the_local_cloud_is_reached_whatever_profile_the_shell_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A profile that is not there, other keys, another region: none of them leads elsewhere."""
    for name in ("PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "somebodys")
    monkeypatch.setenv("AWS_REGION", REGION)
    homes.make_root_key(tmp_path)
    client = local(Cloud(tmp_path, pid=1, port=4567, since="")).s3
    assert client.meta.endpoint_url == "https://localhost:4567"
    assert client.meta.region_name == "us-east-1"
    assert client._request_signer._credentials.access_key == homes.root_key(tmp_path)["AWS_ACCESS_KEY_ID"]
    assert client._request_signer._credentials.token is None


def test_the_outputs_of_the_stack_say_where_everything_is(target: Target):
    assert target.output("UploadsBucketName") in {one["Name"] for one in target.s3.list_buckets()["Buckets"]}
    assert target.results.table_status == "ACTIVE"
    assert target.upload_prefix == "raw/"


def test_the_api_is_shown_at_the_address_where_the_cloud_answers(
    account: Stacks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The local cloud has none of the names that AWS gives."""
    given = "https://a1b2c3d4.execute-api.us-east-1.amazonaws.com"
    account.deployed["Darkroom"] = {"ApiId": "a1b2c3d4", "ApiUrl": given}
    assert chosen(tmp_path, aws=True).output("ApiUrl") == given
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:4566")
    assert chosen(tmp_path).output("ApiUrl") == "https://localhost:4566/_aws/execute-api/a1b2c3d4"


@pytest.mark.usefixtures("account")
def test_a_stack_that_is_not_there_says_what_to_run():
    result = darkroom("--aws", "results")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"AWS account 123456789012 in {REGION}",
        f"darkroom: no stack Darkroom in AWS account 123456789012 in {REGION}: run `make deploy`",
    ]


@pytest.mark.usefixtures("account")
def test_status_of_aws_says_where_a_deployment_would_go():
    """`make deploy` shows it before it asks."""
    result = darkroom("--aws", "status")
    assert result.exit_code == 0
    assert f"AWS account 123456789012 in {REGION}" in result.stdout
    assert "not deployed: `make deploy`" in result.stdout


@pytest.mark.usefixtures("target")
def test_status_of_aws_as_json_has_the_outputs():
    assert json.loads(darkroom("--aws", "status", "--json").stdout)["stack"]["UploadsBucketName"] == "uploads"


@pytest.mark.usefixtures("account")
def test_another_stack_is_named_with_an_option():
    assert "no stack Other in" in darkroom("--aws", "--stack", "Other", "results").stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "no usable AWS credentials"),
        ({"AWS_PROFILE": "gone"}, "gone"),
        ({"AWS_ENDPOINT_URL": "https://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, ":9"),
    ],
    ids=["no credentials", "no such profile", "nothing listens"],
)
def test_what_keeps_a_command_from_its_cloud_is_one_line(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
):
    """No traceback; exit code 1."""
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = darkroom(*([] if "AWS_ENDPOINT_URL" in variables else ["--aws"]), "results")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("darkroom: ")
    assert said in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output


def test_a_profile_that_aws_login_made_is_signed_in(account: Stacks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """With a token as `aws login` leaves it on the disk. botocore needs awscrt for that, and for nothing else here."""
    session = "arn:aws:iam::123456789012:user/operator"
    config, tokens = tmp_path / "config", tmp_path / "tokens"
    config.write_text(f"[profile signed-in]\nlogin_session = {session}\nregion = {REGION}\n")
    credentials = {"accessKeyId": "ASIA", "secretAccessKey": "secret", "sessionToken": "token"}
    expires = {"accountId": "123456789012", "expiresAt": "2099-01-01T00:00:00Z"}
    token = {"accessToken": credentials | expires, "refreshToken": "r", "dpopKey": "k", "clientId": "c"}
    LoginTokenLoader(JSONFileCache(str(tokens))).save_token(session, token)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    for name, value in {"CONFIG_FILE": config, "LOGIN_CACHE_DIRECTORY": tokens, "PROFILE": "signed-in"}.items():
        monkeypatch.setenv(f"AWS_{name}", str(value))
    account.deployed["Darkroom"] = {"UploadsBucketName": "uploads"}
    result = darkroom("--aws", "status")
    assert result.exit_code == 0, result.stderr
    assert "uploads" in result.stdout
