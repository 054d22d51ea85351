"""A state machine may ask S3 for `listObjectVersions`, which is answered as AWS names and types it.

MiniStack's own table of what a workflow may ask of S3 lacks it.
"""

from typing import Any

from ministack.services import stepfunctions


def add() -> None:
    ask = stepfunctions._dispatch_aws_sdk_rest_xml
    stepfunctions._S3_OP_SPECS["ListObjectVersions"] = {
        "method": "GET",
        "path": "/{Bucket}",
        "static_query": (("versions", ""),),
        "query_params": {"Prefix": "prefix", "MaxKeys": "max-keys"},
        "list_fields": ("Version", "DeleteMarker"),
    }

    def asked(service: Any, name: str, action: str, arguments: Any) -> Any:
        answer = ask(service, name, action, arguments)
        if action == "listObjectVersions":
            answer["Versions"] = [
                {**one, "Size": int(one["Size"]), "IsLatest": one["IsLatest"] == "true"}
                for one in answer.pop("Version", [])
            ]
        return answer

    stepfunctions._dispatch_aws_sdk_rest_xml = asked
