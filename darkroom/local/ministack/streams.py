"""What a table's stream has not yet handed on outlives the cloud. What every mapping has read of it is forgotten.

MiniStack keeps how far each mapping has read from one start to the next, but not the records that this counts: after a
start, as many changes would pass unseen. And it keeps each record in memory for 24 hours, though only mappings read
them here.
"""

from collections.abc import Iterator
from typing import Any

from ministack.services import dynamodb, lambda_svc

RECORDS, FORGOTTEN = "stream_records", "stream_trimmed"

Name = tuple[str, str, str]  # account, region, name


def add() -> None:
    poll, load = lambda_svc._poll_dynamodb_streams, dynamodb.load_persisted_state

    def polled() -> bool:
        _go_back_to_the_end()
        found: bool = poll()
        _forget_what_all_have_read()
        return found

    def loaded(data: dict[str, Any] | None) -> None:
        """First the records: with the tables, the mappings begin to read."""
        if data:
            dynamodb._stream_records.update(data.get(RECORDS, {}))
            dynamodb._stream_trimmed.update(data.get(FORGOTTEN, {}))
        load(data)

    lambda_svc._poll_dynamodb_streams = polled
    dynamodb.load_persisted_state = loaded


def kept() -> dict[str, Any]:
    """Beside the tables, for the journal."""
    return {RECORDS: dynamodb._stream_records, FORGOTTEN: dynamodb._stream_trimmed}


def _positions() -> Iterator[tuple[Name, Name, int | None]]:
    """Of each mapping: its table, itself, and how many records of the table it has read, if it has begun."""
    for account, region, mapping in lambda_svc._iter_all_esms():
        stream = mapping["EventSourceArn"]
        if ":dynamodb:" in stream:
            table = account, region, stream.partition("/stream/")[0].rpartition("/")[2]
            itself = account, region, mapping["UUID"]
            yield table, itself, lambda_svc._dynamodb_stream_positions.get_scoped(*itself)


def _go_back_to_the_end() -> None:
    """Positions are written down after records: after a kill one may count some that are not there any more."""
    for table, mapping, position in _positions():
        if position and dynamodb._tables.get_scoped(*table):
            account, region, name = table
            end = dynamodb.stream_end_position(name, account_id=account, region=region)
            if position > end:
                lambda_svc._dynamodb_stream_positions.set_scoped(*mapping, end)


def _forget_what_all_have_read() -> None:
    read: dict[Name, int] = {}
    for table, _, position in _positions():
        read[table] = min(read.get(table, position or 0), position or 0)
    with dynamodb._lock:  # a write may forget what is too old
        for table, position in read.items():
            forgotten = dynamodb._stream_trimmed.get_scoped(*table, 0)
            records = dynamodb._stream_records.get_scoped(*table)
            if records and position > forgotten:
                del records[: position - forgotten]
                dynamodb._stream_trimmed.set_scoped(*table, position)
