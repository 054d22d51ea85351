"""The synthesised stack, as `cdk synth` makes it, once for every set of settings a test asks for."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from stacks.pipeline import Pipeline
from stacks.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"  # has the default model for captions
Synth = Callable[..., Template]


def context(**settings: Any) -> dict[str, Any]:
    """What `cdk.json` says, with some settings changed."""
    return {**json.loads((ROOT / "cdk.json").read_text())["context"], **settings}


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Synth:
    @cache
    def synthesised(settings: str) -> Template:
        chosen = context(**json.loads(settings))
        app = App(context=chosen, outdir=str(tmp_path_factory.mktemp("cdk.out")))
        read = read_settings(chosen, REGION)
        return Template.from_stack(Pipeline(app, read.stack, settings=read))

    return lambda **settings: synthesised(json.dumps(settings))


@pytest.fixture
def template(synth: Synth) -> Template:
    return synth()
