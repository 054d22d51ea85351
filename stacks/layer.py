"""The dependency layer: what `functions/` needs beyond the Lambda runtime."""

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.settings import Settings
from stacks.wheels import build_layer


class DependencyLayer(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        folder = build_layer(
            architecture=settings.architecture,
            python_version=settings.python_version,
            decoders=[name for name, is_there in settings.decoders.items() if is_there],
        )
        self.layer = lambda_.LayerVersion(
            self,
            "Dependencies",
            description="Pillow and Powertools, as locked in functions/requirements.txt",
            code=lambda_.Code.from_asset(str(folder)),
            compatible_architectures=[architecture(settings)],
            compatible_runtimes=[runtime(settings)],
        )


def runtime(settings: Settings) -> lambda_.Runtime:
    return lambda_.Runtime(f"python{settings.python_version}", lambda_.RuntimeFamily.PYTHON)


def architecture(settings: Settings) -> lambda_.Architecture:
    return lambda_.Architecture.ARM_64 if settings.architecture == "arm64" else lambda_.Architecture.X86_64
