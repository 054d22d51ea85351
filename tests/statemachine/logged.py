"""What a state machine writes to CloudWatch Logs: the engine's history in the form of AWS's log events.

`python -m tests.statemachine.logged` prints the bytes of a picture that goes well at each level. On AWS it is more at
ALL: names are longer, and with data a task's output has the headers of the HTTP answer.
"""

from collections.abc import Iterator

import pytest

from darkroom.cli.terminal import show_table
from darkroom.local.ministack.workflow_log import is_logged, line
from tests.statemachine import engine
from tests.statemachine.engine import ACCOUNT, ENGINES, REGION, Pipeline, accepts, event


def log_lines(arn: str, *, level: str = "ERROR", data: bool = True) -> Iterator[str]:
    """Of one execution."""
    for happened in ENGINES[ACCOUNT][REGION].get_execution_history(arn)["events"]:
        if is_logged(happened["type"], level):
            yield line(happened, arn, at=1795644845615, data=data)


def photo(pipeline: Pipeline) -> str:
    """The execution of a picture that goes well, with four renditions and a camera's name."""
    pipeline.tasks["Validate"].answers = lambda payload: accepts(payload, renditions=4)
    return pipeline.run(event("raw/IMG_20220030_131241252.jpg")).arn


def main() -> None:
    with pytest.MonkeyPatch.context() as patch:
        for pipeline in engine.start(patch):
            arn = photo(pipeline)
            levels = (("ALL", True), ("ALL", False), ("ERROR", True))
            found = {key: list(log_lines(arn, level=key[0], data=key[1])) for key in levels}
            rows = [
                (level, "yes" if data else "no", len(lines), sum(map(len, lines)))
                for (level, data), lines in found.items()
            ]
    show_table(("level", "execution data", "events", "bytes"), rows)


if __name__ == "__main__":
    main()
