"""The stack that the page shows: found at the first request, and again after the cloud was away."""

import json
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from darkroom.errors import DarkroomError
from darkroom.pipeline.executions import Definitions, Summary
from darkroom.pipeline.results import Count
from darkroom.pipeline.target import Target

if TYPE_CHECKING:
    import boto3

# Everything the page asks of AWS that changes nothing. By name and not by prefix: GetActivityTask takes a task away.
READS = frozenset(
    {
        "BatchGetItem",
        "DescribeExecution",
        "DescribeMapRun",
        "DescribeStacks",
        "DescribeStateMachine",
        "DescribeStateMachineForExecution",
        "FilterLogEvents",
        "GetExecutionHistory",
        "GetItem",
        "GetObject",
        "GetQueueAttributes",
        "ListExecutions",
        "ListMapRuns",
        "ListObjectsV2",
        "ListStackResources",
        "Query",
    }
)
# Where the AWS client renews its own credentials, by a role or a sign-in: nothing of the stack is there.
SIGN_IN = frozenset({"sts", "sso", "sso-oidc", "signin"})

# Parts of the codes of errors by which a cloud says that it is there: it was asked too often, or for what it refuses.
STILL_THERE = (
    "Throttl",
    "TooManyRequests",
    "LimitExceeded",
    "ThroughputExceeded",
    "SlowDown",
    "AccessDenied",
    "Validation",
)

REMEMBERED = 2000  # executions, 1 KB each


@dataclass(frozen=True)
class Counted:
    """How many executions there are of each status, as `of` was asked at `at` of the monotonic clock."""

    of: Target
    at: float
    counts: dict[str, Count]


class ReadOnlyError(DarkroomError):
    """The page was started with --read-only, and this would have changed something."""


def refuse_writes(session: "boto3.Session") -> None:
    """No client made from this session from now on sends anything but a read: the request is stopped before it is
    signed. A letter may be looked at where that does not hide it from others."""

    def check(model: Any, params: dict[str, Any], **_: Any) -> None:
        if model.service_model.service_name in SIGN_IN:
            return
        if model.name not in READS and not (model.name == "ReceiveMessage" and _hides_nothing(params)):
            raise ReadOnlyError(f"this page is read-only: it does not send {model.name}")

    session.events.register_first("before-call", check)


def _hides_nothing(params: dict[str, Any]) -> bool:
    """SQS hides what was received for the queue's own time unless a request says zero. `params` is the HTTP request."""
    body = params["body"]
    asked = json.loads(body) if isinstance(body, str | bytes) else body
    return int(asked.get("VisibilityTimeout", -1)) == 0


class Connection:
    """`choose` finds the stack; what it raises is shown. `read_only` holds for every client that is made."""

    def __init__(self, choose: Callable[[], Target], *, read_only: bool) -> None:
        self.read_only = read_only
        self.told: MutableMapping[str, Summary] = LastUsed()  # executions, by ARN
        self.backfills: MutableMapping[str, dict[str, Any]] = LastUsed()  # that have ended, by ARN
        self.counted: Counted | None = None
        self.definitions = Definitions()
        self._choose, self._lock = choose, Lock()
        self._target: Target | None = None

    def target(self) -> Target:
        """With every client made: making one is the part of boto3 that threads may not share."""
        with self._lock:
            if self._target is None:
                target = self._choose()
                if self.read_only:
                    refuse_writes(target.session)
                _ = target.results, target.s3, target.states, target.sqs, target.logs
                self._target = target
            return self._target

    def lose(self) -> None:
        """After an error: the next request looks for the cloud again, which may be another one by then. What is known
        of executions that have ended stays true."""
        with self._lock:
            self._target = None

    def why_not(self) -> str | None:
        """Why no cloud can be chosen at all, if so: that says more than a connection that was refused."""
        try:
            self._choose()
        except DarkroomError as error:
            return str(error)
        except Exception:
            return None
        return None


def still_there(error: Exception) -> bool:
    """Whether the cloud answered, and would answer the next request: then all that is known of it holds."""
    from botocore.exceptions import ClientError

    return isinstance(error, ClientError) and any(part in error.response["Error"]["Code"] for part in STILL_THERE)


class LastUsed(OrderedDict[str, Any]):
    """Forgets what was written first, beyond REMEMBERED."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > REMEMBERED:
            self.popitem(last=False)
