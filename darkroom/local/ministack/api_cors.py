"""An HTTP API has the CORS configuration of its template. MiniStack keeps it by names that it then does not read."""

from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import provisioners

KIND = "AWS::ApiGatewayV2::Api"


def add() -> None:
    handlers = provisioners._RESOURCE_HANDLERS[KIND]
    provisioners._RESOURCE_HANDLERS[KIND] = {
        **handlers,
        "create": _with_cors(handlers["create"], props=1),
        "update": _with_cors(handlers["update"], props=2),
    }


def _with_cors(handler: Callable[..., Any], props: int) -> Callable[..., Any]:
    """`props`: which argument has the template's properties."""

    def handled(*arguments: Any, **named: Any) -> Any:
        given = dict(arguments[props])
        if cors := given.get("CorsConfiguration"):
            given["CorsConfiguration"] = {name[0].lower() + name[1:]: value for name, value in cors.items()}
        return handler(*arguments[:props], given, *arguments[props + 1 :], **named)

    return handled
