"""Whether a vulnerability of a locked package is known: one question to OSV, which has the advisories of PyPI and npm.

Fails on one that is known. That OSV cannot be asked is no failure, because nobody's work is to wait for somebody else's
service; it is said, in one line, which is the last of `make check`.
"""

import json
import sys
import urllib.request
from collections.abc import Iterable

from dependencies.locks import LOCKS, Package, of_node, of_python

OSV = "https://api.osv.dev/v1/querybatch"  # https://google.github.io/osv.dev/post-v1-querybatch/
PATIENCE = 20  # seconds

# Advisory → why it does not concern this project.
ACCEPTED: dict[str, str] = {}


def audit(packages: Iterable[Package], service: str = OSV) -> tuple[int, str]:
    """The exit code, and what to say."""
    asked = sorted(set(packages))
    try:
        answers = _answers(asked, service)
    except (OSError, ValueError, LookupError, TypeError) as error:  # no network, or an answer that is not OSV's
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return 0, f"vulnerabilities were NOT looked up, in {len(asked)} packages: OSV could not be asked: {why}"
    known = [
        f"{package.name} {package.version}: {one}"
        for package, advisories in zip(asked, answers, strict=True)
        for one in advisories
        if one not in ACCEPTED
    ]
    if known:
        return 1, "\n".join(["known vulnerabilities, see https://osv.dev/ID:", *known])
    return 0, f"no known vulnerability in {len(asked)} packages"


def _answers(packages: list[Package], service: str) -> list[list[str]]:
    """The advisories of each. Raises what urllib raises, and what an answer of another form does."""
    queries = [{"package": {"ecosystem": one.ecosystem, "name": one.name}, "version": one.version} for one in packages]
    question = urllib.request.Request(
        service, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(question, timeout=PATIENCE) as answer:
        results = json.load(answer)["results"]
    if len(results) != len(packages):
        raise ValueError(f"{len(results)} answers to {len(packages)} questions")
    return [[advisory["id"] for advisory in result.get("vulns", [])] for result in results]


if __name__ == "__main__":
    code, says = audit([*(package for lock in LOCKS for package in of_python(lock)), *of_node()])
    print(says)  # noqa: T201
    sys.exit(code)
