"""CloudFront calls a function URL in its own name, if the origin has an access control and the function's policy lets
that distribution. MiniStack calls it in nobody's name, which a URL for IAM refuses.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html
"""

from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.services import cloudfront, lambda_svc

from darkroom.local.ministack.roles import accepts

ACTIONS = {"lambda:InvokeFunctionUrl": {}, "lambda:InvokeFunction": {"lambda:InvokedViaFunctionUrl": "true"}}

SIGNED = {"authorization": "AWS4-HMAC-SHA256 by CloudFront"}  # the URL looks whether a request is signed, not by whom
FORBIDDEN = (403, {"content-type": "application/json"}, b'{"Message":"Forbidden"}')

_distribution: ContextVar[str] = ContextVar("_distribution", default="")  # that fetches from an origin, its ARN


def add() -> None:
    fetch, handle = cloudfront._fetch_from_origin, app._handle_lambda_url_request

    async def fetched(origin: Any, *request: Any) -> Any:
        """The last of the request is the distribution's ARN."""
        before = _distribution.set(request[-1] if origin.get("oac_id") else "")
        try:
            return await fetch(origin, *request)
        finally:
            _distribution.reset(before)

    async def handled(
        host: str, path: str, method: str, headers: Any, body: bytes, query: Any, source_ip: str | None = None
    ) -> Any:
        found = _distribution.get() and app._parse_lambda_url(host, path)
        if not found:
            return await handle(host, path, method, headers, body, query, source_ip)
        identifier, its_path = found
        function, _, resolved = app._function_url_auth_target(identifier)
        if not _allowed(function, _distribution.get()):
            return FORBIDDEN
        return await lambda_svc.handle_function_url_request(
            identifier, method, its_path, {**headers, **SIGNED}, body, query, resolved=resolved, source_ip=source_ip
        )

    cloudfront._fetch_from_origin = fetched
    app._handle_lambda_url_request = handled


def _allowed(function: str, distribution: str) -> bool:
    """Since October 2025 a new URL asks for both: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"""
    policy = iam_evaluator._resource_policy("lambda", function)
    return policy is not None and all(
        accepts(policy[0], "cloudfront", action, function, source=distribution, more=more)
        for action, more in ACTIONS.items()
    )
