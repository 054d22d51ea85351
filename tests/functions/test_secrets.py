"""A rotated secret is taken up, and the one before it stays valid beside it."""

import boto3
import pytest

from functions.secrets import KEPT, Secrets, secrets


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def manager():
    return boto3.client("secretsmanager")


@pytest.fixture
def arn(manager):
    return manager.create_secret(Name="delivery", SecretString="first")["ARN"]


def test_a_new_secret_has_none_before_it(manager, arn):
    assert Secrets(manager, arn).valid() == [b"first"]


def test_two_are_valid_after_a_rotation_and_never_three(manager, arn):
    for value in ("second", "third"):
        manager.put_secret_value(SecretId=arn, SecretString=value)
    assert Secrets(manager, arn).valid() == [b"third", b"second"]


def test_it_is_read_again_after_five_minutes(manager, arn):
    """Or when the caller wants it newer: after a signature that no known secret made."""
    clock = Clock()
    kept = Secrets(manager, arn, clock)
    kept.valid()
    manager.put_secret_value(SecretId=arn, SecretString="second")
    clock.seconds += KEPT - 1
    assert kept.valid() == [b"first"]
    assert kept.valid(not_older_than=10) == [b"second", b"first"]
    manager.put_secret_value(SecretId=arn, SecretString="third")
    clock.seconds += KEPT
    assert kept.valid() == [b"third", b"second"]


def test_its_arn_is_in_the_environment(arn, monkeypatch):
    monkeypatch.setenv("DELIVERY_SECRET_ARN", arn)
    secrets.cache_clear()
    assert secrets("DELIVERY_SECRET_ARN").valid() == [b"first"]
    secrets.cache_clear()
