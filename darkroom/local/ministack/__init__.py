"""What AWS has and MiniStack lacks, and what it does more slowly than it need: added to it as the cloud starts.

Each part is a module of its own, named after what it adds. They replace private names, so that they are added to the
one version that they were written for.
"""

import logging
from importlib.metadata import version

WRITTEN_FOR = "1.5.33"


def add_to_ministack() -> None:
    """Must come before MiniStack's own start. With another version of it the cloud runs without, and says so."""
    if version("ministack") != WRITTEN_FOR:
        logging.getLogger(__name__).warning(
            "MiniStack is %s, not %s: nothing is added to it", version("ministack"), WRITTEN_FOR
        )
        return
    from darkroom.local.ministack import (
        api_cors,
        captions,
        distributed_maps,
        distribution_domains,
        execution_names,
        express,
        expressions,
        function_children,
        function_errors,
        function_forks,
        function_logs,
        function_memory,
        function_url_origins,
        history,
        index_queries,
        journal,
        layers,
        log_patterns,
        parallel,
        processes,
        prompt_start,
        rule_targets,
        secret_arns,
        streams,
        time_limit,
        workflow_calls,
        workflow_log,
        workflow_roles,
        writes,
    )

    journal.add()
    workflow_calls.add()
    history.add()
    parallel.add()
    time_limit.add()
    workflow_log.add()
    log_patterns.add()
    workflow_roles.add()
    distributed_maps.add()
    execution_names.add()
    express.add()
    rule_targets.add()
    streams.add()
    index_queries.add()
    writes.add()
    function_children.add()
    function_errors.add()
    function_forks.add()
    function_logs.add()
    function_memory.add()
    function_url_origins.add()
    distribution_domains.add()
    secret_arns.add()
    layers.add()
    processes.add()
    captions.add()
    api_cors.add()
    prompt_start.add()
    expressions.add()
