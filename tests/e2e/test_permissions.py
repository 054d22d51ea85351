"""Nobody gets in: what each role may not do, that each grant is needed, and that the outside is refused."""

from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e import permissions
from tests.e2e.conftest import Deployed
from tests.e2e.permissions import NOT_AS_ON_AWS, PAGE, REFUSED, ROLES, Removal, Stack, denials, expected_denials, page


@pytest.fixture(scope="module")
def tried(deployed: Deployed) -> dict[str, dict[str, str]]:
    return denials(deployed)


@pytest.fixture(scope="module")
def removed(deployed: Deployed) -> list[Removal]:
    return permissions.removals(deployed)


def test_each_role_can_do_its_own_work_and_nothing_else(deployed: Deployed, tried):
    """Every act that is in reach of one of them, with the credentials of each."""
    assert tried == expected_denials(deployed)


def test_each_grant_is_needed(removed):
    """Taken away alone, what it is for fails with an AccessDenied that names it, but for what is known not to here."""
    unlike_aws = {ended for _, ended in NOT_AS_ON_AWS.values()}
    assert [one for one in removed if one.ended not in {REFUSED, *unlike_aws}] == []
    assert {one.role for one in removed} == set(ROLES.values())


def test_the_page_of_permissions_shows_what_was_observed(tried, removed):
    """`make permissions` writes it."""
    assert PAGE.read_text() == page(tried, removed)


@pytest.mark.parametrize("role", ROLES.values())
def test_nobody_may_take_a_role_but_its_service(deployed: Deployed, role):
    """Not even the account's root."""
    stack = Stack(deployed)
    with pytest.raises(ClientError, match=r"not authorized to perform: sts:AssumeRole"):
        deployed.client("sts").assume_role(RoleArn=stack.arn(role), RoleSessionName="intruder")


FROM_OUTSIDE = {
    "read": lambda s3, bucket: s3.get_object(Bucket=bucket, Key="raw/outside.jpg"),
    "list": lambda s3, bucket: s3.list_objects_v2(Bucket=bucket),
    "write": lambda s3, bucket: s3.put_object(Bucket=bucket, Key="raw/outside.jpg", Body=b"x"),
}


@pytest.mark.parametrize("bucket", ["UploadsBucketName", "RenditionsBucketName"])
@pytest.mark.parametrize("does", FROM_OUTSIDE)
def test_a_bucket_is_closed_to_who_has_no_credentials(deployed: Deployed, bucket, does):
    """Reading, listing, writing."""
    deployed.picture("raw/outside.jpg", b"no picture")
    nobody = deployed.client("s3", config=Config(signature_version=UNSIGNED, proxies={}))
    with pytest.raises(ClientError, match="AccessDenied"):
        FROM_OUTSIDE[does](nobody, deployed.aws.output(bucket))


OPENING: dict[str, tuple[str, dict[str, Any]]] = {
    "an object's ACL": ("put_object_acl", {"Key": "raw/opened.jpg", "ACL": "public-read"}),
    "an ACL on the way in": ("put_object", {"Key": "elsewhere/opened.jpg", "Body": b"x", "ACL": "public-read"}),
    "the bucket's ACL": ("put_bucket_acl", {"ACL": "public-read"}),
    "a policy for everybody": ("put_bucket_policy", {}),
}


@pytest.mark.parametrize("by", OPENING)
def test_a_bucket_cannot_be_opened_to_the_public(deployed: Deployed, by):
    """Not even by who owns it: ACLs are off, and public policies are refused."""
    deployed.picture("raw/opened.jpg", b"no picture")
    bucket = deployed.aws.output("UploadsBucketName")
    everybody = (
        f'{{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/*"}}'
    )
    policy = {"Policy": f'{{"Version": "2012-10-17", "Statement": [{everybody}]}}'} if "policy" in by else {}
    call, arguments = OPENING[by]
    with pytest.raises(ClientError, match=r"AccessDenied|AccessControlListNotSupported"):
        getattr(deployed.aws.s3, call)(Bucket=bucket, **arguments, **policy)
