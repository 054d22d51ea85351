"""The API in the template: what the local cloud does not show of it, and that each route asks who calls."""

import json
from typing import Any

import pytest
from aws_cdk.assertions import Template

from stacks.api import CONTRACT, _route_key

ORIGINS = ["https://app.example.com", "http://localhost:3000"]
JWT = {"issuer": "https://issuer.example.com/pool", "audience": ["web"]}


@pytest.fixture
def api(synth) -> Template:
    return synth(api={"enabled": True, "origins": ORIGINS, "rate": 7, "burst": 9})


@pytest.fixture
def with_tokens(synth) -> Template:
    return synth(api={"enabled": True, "jwt": JWT})


def only(template: Template, kind: str) -> dict[str, Any]:
    [found] = template.find_resources(kind).values()
    return dict(found["Properties"])


def routes(template: Template) -> dict[str, dict[str, Any]]:
    found = template.find_resources("AWS::ApiGatewayV2::Route").values()
    return {one["Properties"]["RouteKey"]: one["Properties"] for one in found}


def contract() -> dict[str, list[str]]:
    """The scopes of each route."""
    return {
        _route_key(method, path): operation["security"][1]["jwt"]
        for path, operations in json.loads(CONTRACT.read_text())["paths"].items()
        for method, operation in operations.items()
    }


def test_the_routes_are_those_of_the_contract(api):
    """None is open: each wants a signature."""
    assert routes(api).keys() == contract().keys()
    assert {one["AuthorizationType"] for one in routes(api).values()} == {"AWS_IAM"}


def test_with_an_issuer_each_route_wants_a_token_with_its_scope(with_tokens):
    assert {key: one["AuthorizationScopes"] for key, one in routes(with_tokens).items()} == contract()
    assert {one["AuthorizationType"] for one in routes(with_tokens).values()} == {"JWT"}
    authorizer = only(with_tokens, "AWS::ApiGatewayV2::Authorizer")
    assert authorizer["JwtConfiguration"] == {"Issuer": JWT["issuer"], "Audience": JWT["audience"]}
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]


def test_what_changes_something_wants_the_right_to_write():
    scopes = {key: scopes for key, [scopes] in contract().items()}
    reads = {key for key, scope in scopes.items() if scope == "pictures:read"}
    assert reads == {"GET /v1/pictures", "GET /v1/pictures/{key+}", "GET /v1/openapi.json", "POST /v1/links"}
    assert set(scopes.values()) == {"pictures:read", "pictures:write"}


def test_the_stage_is_throttled_and_logs_who_asked_for_what(api):
    stage = only(api, "AWS::ApiGatewayV2::Stage")
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 7, "ThrottlingBurstLimit": 9}
    assert {"identity.userArn", "path", "status"} <= json.loads(stage["AccessLogSettings"]["Format"]).keys()
    assert stage["StageName"] == "$default"


def test_only_the_named_pages_may_call_it_and_upload(api):
    cors = only(api, "AWS::ApiGatewayV2::Api")["CorsConfiguration"]
    assert cors["AllowOrigins"] == ORIGINS
    assert "AllowCredentials" not in cors
    [rules] = [
        one["Properties"]["CorsConfiguration"]["CorsRules"]
        for one in api.find_resources("AWS::S3::Bucket").values()
        if "CorsConfiguration" in one["Properties"]
    ]
    assert [(rule["AllowedOrigins"], rule["AllowedMethods"]) for rule in rules] == [(ORIGINS, ["POST"])]


def test_without_origins_no_page_may(with_tokens):
    assert "CorsConfiguration" not in only(with_tokens, "AWS::ApiGatewayV2::Api")
    assert "CorsRules" not in json.dumps(with_tokens.to_json())


def test_only_this_api_may_call_the_function(api):
    [permission] = [
        one["Properties"]
        for one in api.find_resources("AWS::Lambda::Permission").values()
        if one["Properties"]["Principal"] == "apigateway.amazonaws.com"
    ]
    [http] = api.find_resources("AWS::ApiGatewayV2::Api")
    assert permission["SourceArn"]["Fn::Join"][1][-2:] == [{"Ref": http}, "/*/*"]


def test_the_access_log_has_the_customers_key(synth):
    key = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    found = synth(api={"enabled": True}, kms_key=key).find_resources("AWS::Logs::LogGroup").values()
    [log] = [one["Properties"] for one in found if "apis" in json.dumps(one["Properties"].get("LogGroupName", ""))]
    assert log["KmsKeyId"] == key


def test_by_default_there_is_no_api(template):
    kinds = {one["Type"] for one in template.to_json()["Resources"].values()}
    assert [kind for kind in kinds if kind.startswith("AWS::ApiGateway")] == []
    assert "ApiUrl" not in template.to_json()["Outputs"]
