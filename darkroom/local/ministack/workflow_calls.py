"""A state machine may ask S3 for `listObjectVersions`, which is answered as AWS names and types it, and for
`putObject`, whose body may be JSON.

MiniStack's own table of what a workflow may ask of S3 lacks both.
"""

import json
from typing import Any

from ministack.services import stepfunctions


def add() -> None:
    ask, build = stepfunctions._dispatch_aws_sdk_rest_xml, stepfunctions._rest_xml_build_body
    stepfunctions._S3_OP_SPECS["ListObjectVersions"] = {
        "method": "GET",
        "path": "/{Bucket}",
        "static_query": (("versions", ""),),
        "query_params": {"Prefix": "prefix", "MaxKeys": "max-keys"},
        "list_fields": ("Version", "DeleteMarker"),
    }

    stepfunctions._S3_OP_SPECS["PutObject"] = {"method": "PUT", "path": "/{Bucket}/{Key+}", "body_field": "Body"}

    def asked(service: Any, name: str, action: str, arguments: Any) -> Any:
        if action == "putObject" and not isinstance(arguments.get("Body", ""), str):
            arguments = {**arguments, "Body": json.dumps(arguments["Body"])}
        answer = ask(service, name, action, arguments)
        if action == "listObjectVersions":
            answer["Versions"] = [
                {**one, "Size": int(one["Size"]), "IsLatest": one["IsLatest"] == "true"}
                for one in answer.pop("Version", [])
            ]
        return answer

    def built(root: str, payload: Any, *more: Any) -> Any:
        """Of an object's body no XML."""
        return payload.encode() if root == "Body" else build(root, payload, *more)

    stepfunctions._dispatch_aws_sdk_rest_xml, stepfunctions._rest_xml_build_body = asked, built
