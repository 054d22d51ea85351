"""An HTTP API of the local cloud answers a page as its template says."""

from collections.abc import Iterator
from typing import Any

import pytest
from ministack.services import apigateway
from ministack.services.cloudformation import provisioners

from darkroom.local.ministack import api_cors

PAGE = "http://localhost:3000"
CORS = {"AllowOrigins": [PAGE], "AllowMethods": ["GET"], "AllowHeaders": ["prefer"], "MaxAge": 60}
OTHER = {**CORS, "AllowOrigins": ["http://localhost:4000"]}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(provisioners._RESOURCE_HANDLERS, api_cors.KIND, provisioners._RESOURCE_HANDLERS[api_cors.KIND])
    yield
    apigateway.reset()


def made() -> tuple[dict[str, Any], str]:
    handlers = provisioners._RESOURCE_HANDLERS[api_cors.KIND]
    return handlers, handlers["create"]("Http", {"ProtocolType": "HTTP", "CorsConfiguration": CORS}, "Stack")[0]


def preflight(api: str) -> tuple[int, dict[str, str]]:
    return apigateway._cors_preflight_response(apigateway._apis[api]["corsConfiguration"], PAGE)[:2]


def test_cors_of_a_template_is_lost_by_itself():
    """When it no longer is, the module can go."""
    assert preflight(made()[1])[0] == 403


def test_cors_of_a_template_is_what_a_page_is_told():
    api_cors.add()
    handlers, api = made()
    status, headers = preflight(api)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert headers["Access-Control-Allow-Methods"] == "GET"
    assert headers["Access-Control-Allow-Headers"] == "prefer"
    http = {"ProtocolType": "HTTP"}
    handlers["update"](api, {**http, "CorsConfiguration": CORS}, {**http, "CorsConfiguration": OTHER}, "Stack", "Http")
    assert preflight(api)[0] == 403
