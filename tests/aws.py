"""What every folder of tests makes of AWS alike: the tables, and the letters of a queue."""

import json
from typing import Any


def create_results_table(dynamodb: Any, name: str) -> None:
    """With its indexes, as the stack has them."""
    by_status = [{"AttributeName": "status", "KeyType": "HASH"}, {"AttributeName": "updated_at", "KeyType": "RANGE"}]
    by_key = [{"AttributeName": "status", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}]
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("key", "status", "updated_at")],
        GlobalSecondaryIndexes=[
            {"IndexName": "by-status", "KeySchema": by_status, "Projection": {"ProjectionType": "ALL"}},
            {"IndexName": "by-key", "KeySchema": by_key, "Projection": {"ProjectionType": "KEYS_ONLY"}},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def create_sweeps_table(dynamodb: Any, name: str) -> None:
    """What the sweep remembers."""
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def create_promises_table(dynamodb: Any, name: str) -> None:
    """Which uploads the API promised."""
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "folder", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "folder", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def letters(sqs: Any, queue: str) -> list[dict[str, Any]]:
    """Every letter in the queue, which stays as it is: the body, and the attribute `reason`."""
    received = sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    )
    return [
        {**json.loads(one["Body"]), "reason": one["MessageAttributes"]["reason"]["StringValue"]}
        for one in received.get("Messages", [])
    ]
