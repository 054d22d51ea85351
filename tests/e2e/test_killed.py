"""The local cloud is killed in the middle of an upload, again and again: what S3 has confirmed gets its row.

`make kills` does so ten times; the moments are random.
"""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from darkroom.local import cloud as local_cloud
from darkroom.local import kept
from darkroom.local.recovery import take_up_again
from tests.e2e.conftest import Deployed, eventually, own_cloud

KILLS = int(os.environ.get("DARKROOM_KILLS", "3"))
PICTURES = 5 * KILLS
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """With one size, and without captions: of a picture, its row is looked at."""
    sizes = {"renditions": '{"thumb": {"width": 16, "height": 16}}', "captions.enabled": "false"}
    with own_cloud(tmp_path_factory.mktemp("killed"), sizes) as deployed:
        file = deployed.cloud.home / "data" / "state" / "memory.sqlite"
        asked = "SELECT 1 FROM records WHERE store = 'stacks' AND instr(value, 'ResultsTableName')"
        with closing(sqlite3.connect(file)) as journal:
            eventually(lambda: journal.execute(asked).fetchone(), "that the stack is written down")
        yield deployed


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> None:
    """Of the shared cloud nothing is needed."""


class Uploads:
    """Of small pictures, of which every fifth is one, over whatever cloud runs at the home until all are confirmed."""

    def __init__(self, deployed: Deployed) -> None:
        self.confirmed: dict[str, str] = {}  # and its etag
        self.some = threading.Event()
        self._home, self._bucket = deployed.cloud.home, deployed.aws.output("UploadsBucketName")
        self._thread = threading.Thread(target=self._upload, daemon=True)
        self._thread.start()

    def _upload(self) -> None:
        for number in range(PICTURES):
            key = f"raw/{number:02}.png"
            body = PNG if number % 5 == 0 else f"no picture {number}".encode()
            while key not in self.confirmed:
                cloud = local_cloud.running(self._home)
                if cloud is None:
                    time.sleep(0.05)
                    continue
                try:
                    etag = _s3(cloud).put_object(Bucket=self._bucket, Key=key, Body=body)["ETag"]
                    self.confirmed[key] = etag.strip('"')
                except (BotoCoreError, ClientError, OSError):
                    time.sleep(0.05)

    def end(self) -> None:
        self._thread.join()


def _s3(cloud: local_cloud.Cloud) -> object:
    """Which does not try again by itself: what it says is what was confirmed."""
    given = cloud.variables()
    return boto3.Session(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1").client(
        "s3",
        endpoint_url=cloud.endpoint,
        verify=given["AWS_CA_BUNDLE"],
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10, proxies={}),
    )


def test_what_s3_confirmed_has_its_row_however_often_the_cloud_is_killed(own: Deployed):
    """Counted; and nothing but that is in the table, and no letter is left."""
    home, said = own.cloud.home, []
    uploads = Uploads(own)
    for kill in range(KILLS):
        wanted = PICTURES * (kill + random.random()) / KILLS
        eventually(lambda wanted=wanted: len(uploads.confirmed) >= wanted, "the next confirmed upload")
        time.sleep(random.random() / 2)  # somewhere in what follows it
        after = killed_and_started(home, said)
    uploads.end()
    rows = eventually(lambda: _all_ended(after, uploads.confirmed), "the end of all pictures")
    assert {key: row["etag"] for key, row in rows.items()} == uploads.confirmed
    statuses = [row["status"] for row in rows.values()]
    assert (statuses.count("SUCCEEDED"), statuses.count("REJECTED")) == (PICTURES // 5, PICTURES - PICTURES // 5)
    assert said.count("The local cloud was killed. It goes on with what it had written down") == KILLS
    assert not kept.was_interrupted(home / "data")


def test_a_deletion_that_nobody_had_heard_of_is_taken_up_again(own: Deployed):
    before = Deployed(local_cloud.running(own.cloud.home))
    before.picture("raw/gone.jpg", b"no picture")
    said: list[str] = []
    before.delete("raw/gone.jpg")
    after = killed_and_started(own.cloud.home, said)
    eventually(lambda: after.in_status("raw/gone.jpg", "DELETED"), "its row")


def test_what_is_on_its_way_is_not_waited_for_when_the_cloud_is_stopped_and_taken_up_again(own: Deployed):
    before = Deployed(local_cloud.running(own.cloud.home))
    keys = {f"raw/stopped/{number}.png" for number in range(5)}
    for key in keys:
        before.upload(key, PNG)
    local_cloud.stop(own.cloud.home)
    cloud = local_cloud.start(own.cloud.home, env=os.environ | {"SFN_WAIT_SCALE": "0"})
    take_up_again(cloud, str)
    after = Deployed(cloud)
    eventually(lambda: all(after.in_status(key, "SUCCEEDED") for key in keys), "their rows")


def killed_and_started(home: Path, said: list[str]) -> Deployed:
    os.kill(local_cloud.running(home).pid, signal.SIGKILL)
    eventually(lambda: local_cloud.running(home) is None, "its end")
    cloud = local_cloud.start(home, env=os.environ | {"SFN_WAIT_SCALE": "0"}, say=said.append)
    take_up_again(cloud, said.append)
    return Deployed(cloud)


def _all_ended(deployed: Deployed, keys: dict[str, str]) -> dict[str, dict[str, object]] | None:
    rows = {row["key"]: row for row in deployed.aws.results.scan(ConsistentRead=True)["Items"]}
    return rows if len(rows) == len(keys) and all(row["status"] != "PROCESSING" for row in rows.values()) else None
