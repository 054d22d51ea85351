"""A distribution's domain is one that opens on this machine: `<label>.cloudfront.localhost:PORT`.

MiniStack answers to it, but tells stacks and functions `<label>.cloudfront.net`, of which it knows nothing outside.
"""

import os
from collections.abc import Callable
from typing import Any

from ministack.services.cloudformation import provisioners

AWS_DOMAIN = ".cloudfront.net"


def add() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudFront::Distribution"]
    for act in ("create", "update"):
        handlers[act] = _local(handlers[act])


def _local(act: Callable[..., tuple[str, dict[str, str]]]) -> Callable[..., tuple[str, dict[str, str]]]:
    def acted(*arguments: Any, **named: Any) -> tuple[str, dict[str, str]]:
        identifier, attributes = act(*arguments, **named)
        label = attributes["DomainName"].removesuffix(AWS_DOMAIN)
        domain = f"{label}.cloudfront.localhost:{os.environ['GATEWAY_PORT']}"
        return identifier, {**attributes, "DomainName": domain}

    return acted
