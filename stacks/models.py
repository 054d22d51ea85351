"""Which models Bedrock serves in which region, and by which name they are called there."""

from collections.abc import Sequence

NOVA_LITE = "amazon.nova-lite-v1:0"

# What an inference profile's id begins with: where it sends to. An id that begins otherwise is a model's own.
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
GEOGRAPHIES = frozenset({"us", "us-gov", "eu", "apac", "jp", "au", "ca", "global"})

# How Nova Lite is called, by region. Its own id where the region has the model itself, so that no picture leaves the
# region; else the profile of the geography. "Supported Regions and models for inference profiles" (above) lists the
# regions from which a profile may be called, "Regional availability" those that have the model:
# https://docs.aws.amazon.com/bedrock/latest/userguide/models-region-compatibility.html. Both as read on 2026-11-25.
SERVED: dict[str, Sequence[str]] = {
    NOVA_LITE: (
        *("us-east-1", "us-gov-west-1", "eu-north-1", "eu-west-2"),
        *("ap-northeast-1", "ap-southeast-2", "ap-southeast-3", "me-central-1"),
    ),
    f"us.{NOVA_LITE}": ("us-east-2", "us-west-1", "us-west-2"),
    f"ca.{NOVA_LITE}": ("ca-central-1", "ca-west-1"),
    f"eu.{NOVA_LITE}": ("eu-central-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3", "il-central-1"),
    f"apac.{NOVA_LITE}": (
        *("ap-east-2", "ap-northeast-2", "ap-south-1"),
        *("ap-southeast-1", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7"),
    ),
}
NOVA_LITE_IN = {region: model_id for model_id, regions in SERVED.items() for region in regions}
