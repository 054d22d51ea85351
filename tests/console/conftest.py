"""The page as an application, asked without a browser, over a stack in moto."""

from collections.abc import Callable

import boto3
import pytest
from starlette.testclient import TestClient

from darkroom.console.connection import Connection
from darkroom.console.guard import ENTRANCE
from darkroom.console.server import application
from darkroom.pipeline.target import Target
from tests.darkroom import conftest as stack

_nobodys_environment, account, target = stack._nobodys_environment, stack.account, stack.target

HOST = "darkroom-0123456789abcdef.localhost:8640"
SECRET = "a secret"
Open = Callable[..., TestClient]


def again(target: Target) -> Target:
    """The same stack by a session of its own, as each start of the page has."""
    return Target(boto3.Session(), name=target.name, deploy_with=target.deploy_with)


class Chosen(list[Target]):
    """Chooses that stack, and has what was chosen."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target

    def __call__(self) -> Target:
        self.append(again(self._target))
        return self[-1]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's queues hide nothing for a moment."""
    monkeypatch.setattr("darkroom.pipeline.letters.WAIT_SECONDS", 0)


@pytest.fixture
def open_page(target: Target) -> Open:
    """A browser that was given the address with the secret."""

    def opened(choose: Callable[[], Target] = lambda: again(target), *, read_only: bool = False) -> TestClient:
        app = application(Connection(choose, read_only=read_only), host=HOST, secret=SECRET)
        client = TestClient(
            app,
            base_url=f"http://{HOST}",
            headers={"origin": f"http://{HOST}"},
            follow_redirects=False,
        )
        assert client.get("/", params={"secret": SECRET}).headers["location"] == ENTRANCE
        return client

    return opened


@pytest.fixture
def page(open_page: Open) -> TestClient:
    return open_page()
