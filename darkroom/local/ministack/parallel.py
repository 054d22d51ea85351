"""A Parallel in JSONata has its Arguments, Output and Assign, which MiniStack passes over."""

from typing import Any

from ministack.services import stepfunctions


def add() -> None:
    """After the history: as on AWS, the arguments are evaluated before the Parallel starts."""
    this: Any = stepfunctions
    run = this._run_parallel_branches

    def with_its_fields(state: Any, given: Any, execution: Any, ctx: Any) -> Any:
        if this._state_query_language(state, ctx) != "JSONata":
            return run(state, given, execution, ctx)
        results, then = run(state, this._apply_jsonata_arguments(state, given, ctx), execution, ctx)
        output = this._apply_jsonata_output(state, given, ctx, result=results, default=results)
        this._apply_state_assign(state, given, ctx, result=results)
        return output, then

    this._run_parallel_branches = with_its_fields
