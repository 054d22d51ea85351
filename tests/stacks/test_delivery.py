"""Delivery in the template: what the local cloud does not show of CloudFront, and that it is off unless asked for."""

import json

import pytest
from aws_cdk.assertions import Match

from functions import keys
from stacks import delivery
from stacks.settings import SettingsError, read_settings

CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/11111111-2222-3333-4444-555555555555"
WEB_ACL = "arn:aws:wafv2:us-east-1:111122223333:global/webacl/pictures/11111111-2222-3333-4444-555555555555"
ALL = {
    "enabled": True,
    "domain": "pictures.example.com",
    "certificate": CERTIFICATE,
    "price_class": "PriceClass_100",
    "access_log": True,
    "web_acl": WEB_ACL,
}
YEAR = 31_536_000  # seconds


def distribution(template) -> dict:
    [found] = template.find_resources("AWS::CloudFront::Distribution").values()
    return found["Properties"]["DistributionConfig"]


def test_it_is_off_unless_asked_for(template):
    """And then nothing of it is there."""
    assert "cloudfront" not in json.dumps(template.to_json()).lower()
    assert "DERIVED_SIZES" not in json.dumps(template.to_json())


def test_viewers_speak_https_and_http_3(synth):
    config = distribution(synth(delivery={"enabled": True}))
    behaviors = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]
    assert config["HttpVersion"] == "http2and3"
    assert {one["ViewerProtocolPolicy"] for one in behaviors} == {"redirect-to-https"}
    assert all(one.get("AllowedMethods", ["GET", "HEAD"]) == ["GET", "HEAD"] for one in behaviors)
    assert "DefaultRootObject" not in config
    assert [one["PathPattern"] for one in config["CacheBehaviors"]] == ["/i/*", "/p/*"]


def test_answers_are_cached_by_the_reduced_accept_and_by_nothing_else(synth):
    """No cookie, no query; for as long as the answer says, and files for a year."""
    template = synth(delivery={"enabled": True})
    config = distribution(template)
    policies = template.find_resources("AWS::CloudFront::CachePolicy")
    keyed = {name: one["Properties"]["CachePolicyConfig"] for name, one in policies.items()}
    files = keyed[config["DefaultCacheBehavior"]["CachePolicyId"]["Ref"]]
    [answers] = [keyed[name] for name in {one["CachePolicyId"]["Ref"] for one in config["CacheBehaviors"]}]
    assert (files["MinTTL"], files["DefaultTTL"], files["MaxTTL"]) == (0, YEAR, YEAR)
    assert (answers["MinTTL"], answers["DefaultTTL"], answers["MaxTTL"]) == (0, 0, YEAR)
    for policy, headers in (
        (files, {"HeaderBehavior": "none"}),
        (answers, {"HeaderBehavior": "whitelist", "Headers": ["Accept"]}),
    ):
        parameters = policy["ParametersInCacheKeyAndForwardedToOrigin"]
        assert parameters["HeadersConfig"] == headers
        assert parameters["CookiesConfig"] == {"CookieBehavior": "none"}
        assert parameters["QueryStringsConfig"] == {"QueryStringBehavior": "none"}
    assert not any(
        "OriginRequestPolicyId" in one for one in [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]
    )
    [function] = template.find_resources("AWS::CloudFront::Function").values()
    assert function["Properties"]["FunctionCode"] == delivery.VIEWER_REQUEST.read_text()
    assert function["Properties"]["FunctionConfig"]["Runtime"] == "cloudfront-js-2.0"
    assert len(function["Properties"]["FunctionCode"].encode()) < 10 * 1024  # CloudFront's limit


def test_only_this_distribution_reads_the_bucket_and_calls_the_function(synth):
    """Both origins are signed, and what lets CloudFront in names the one distribution."""
    template = synth(delivery={"enabled": True})
    [name] = template.find_resources("AWS::CloudFront::Distribution")
    controls = template.find_resources("AWS::CloudFront::OriginAccessControl")
    kinds = {
        one["Properties"]["OriginAccessControlConfig"]["OriginAccessControlOriginType"] for one in controls.values()
    }
    assert kinds == {"s3", "lambda"}
    assert all(one["OriginAccessControlId"] for one in distribution(template)["Origins"])
    permissions = [
        one["Properties"]
        for one in template.find_resources("AWS::Lambda::Permission").values()
        if one["Properties"]["Principal"] == "cloudfront.amazonaws.com"
    ]
    assert {one["Action"] for one in permissions} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert all(name in json.dumps(one["SourceArn"]) for one in permissions)
    policies = template.find_resources("AWS::S3::BucketPolicy").values()
    statements = [one for policy in policies for one in policy["Properties"]["PolicyDocument"]["Statement"]]
    [reads] = [one for one in statements if one["Principal"] == {"Service": "cloudfront.amazonaws.com"}]
    assert (reads["Action"], reads["Effect"]) == ("s3:GetObject", "Allow")
    assert name in json.dumps(reads["Condition"]["StringEquals"]["AWS:SourceArn"])
    template.has_resource_properties("AWS::Lambda::Url", {"AuthType": "AWS_IAM"})


def test_an_own_domain_and_the_rest_are_as_they_are_set(synth):
    template = synth(delivery=ALL)
    config = distribution(template)
    assert config["Aliases"] == ["pictures.example.com"]
    assert config["ViewerCertificate"]["AcmCertificateArn"] == CERTIFICATE
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert config["PriceClass"] == "PriceClass_100"
    assert config["WebACLId"] == WEB_ACL
    assert config["Logging"]["Bucket"]
    template.has_output("DeliveryUrl", {"Value": "https://pictures.example.com"})


def test_as_it_comes_it_has_cloudfronts_own_domain(synth):
    template = synth(delivery={"enabled": True})
    assert distribution(template)["PriceClass"] == "PriceClass_All"
    assert not distribution(template).keys() & {"Aliases", "WebACLId", "Logging"}
    [name] = template.find_resources("AWS::CloudFront::Distribution")
    template.has_output(
        "DeliveryUrl", {"Value": {"Fn::Join": ["", ["https://", {"Fn::GetAtt": [name, "DomainName"]}]]}}
    )


def test_what_is_said_with_each_answer(synth):
    """Nothing of S3, Lambda or a key."""
    template = synth(delivery={"enabled": True})
    [policy] = template.find_resources("AWS::CloudFront::ResponseHeadersPolicy").values()
    config = policy["Properties"]["ResponseHeadersPolicyConfig"]
    assert config["SecurityHeadersConfig"] == {"ContentTypeOptions": {"Override": True}}
    [corp] = config["CustomHeadersConfig"]["Items"]
    assert (corp["Header"], corp["Value"]) == ("Cross-Origin-Resource-Policy", "cross-origin")
    removed = {one["Header"].lower() for one in config["RemoveHeadersConfig"]["Items"]}
    assert {"set-cookie", "x-amz-server-side-encryption-aws-kms-key-id"} <= removed
    assert len(removed) <= 10  # CloudFront's limit


def test_the_secret_is_made_there_and_in_no_template(synth):
    template = synth(delivery={"enabled": True})
    template.has_resource_properties(
        "AWS::SecretsManager::Secret",
        {"GenerateSecretString": {"PasswordLength": 64, "ExcludePunctuation": True}, "SecretString": Match.absent()},
    )
    [secret] = template.find_resources("AWS::SecretsManager::Secret")
    assert (
        json.dumps(template.to_json()).count(f'{{"Ref": "{secret}"}}') == 3
    )  # its reader, its reader's grant, the output


def test_other_sizes_expire(synth):
    """And only they: functions/keys.py keeps everything else out of there."""
    template = synth(delivery={"enabled": True})
    rules = [
        rule
        for bucket in template.find_resources("AWS::S3::Bucket").values()
        for rule in bucket["Properties"].get("LifecycleConfiguration", {}).get("Rules", [])
        if rule.get("Prefix")
    ]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in rules] == [("derived/", 30)]
    assert delivery.DERIVED == keys.DERIVED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"domain": "pictures.example.com"}, "delivery = .*: domain and certificate go together"),
        ({"certificate": CERTIFICATE}, "delivery = .*: domain and certificate go together"),
        (
            {"domain": "https://pictures.example.com", "certificate": CERTIFICATE},
            "delivery.domain = .*: must be text of",
        ),
        ({"certificate": CERTIFICATE.replace("us-east-1", "eu-west-1")}, "delivery.certificate = .*us-east-1"),
        ({"web_acl": WEB_ACL.replace("global", "regional")}, "delivery.web_acl = .*global/webacl"),
        (
            {"price_class": "100"},
            "delivery.price_class = .*: must be one of PriceClass_100, PriceClass_200, PriceClass_All",
        ),
    ],
)
def test_a_wrong_setting_is_named(wrong, message):
    with pytest.raises(SettingsError, match=message):
        read_settings({"delivery": wrong})
