"""The CDK app: settings in, one stack out. No AWS call, no Docker, no credentials.

The CDK command line names the region of the AWS environment in CDK_DEFAULT_REGION.
"""

import os
import sys

from aws_cdk import App

from stacks.pipeline import Pipeline
from stacks.settings import SettingsError, read_settings

app = App()
try:
    settings = read_settings(app.node.get_all_context(), os.environ.get("CDK_DEFAULT_REGION"))
except SettingsError as wrong:
    sys.exit(f"darkroom: {wrong}")
Pipeline(app, settings.stack, settings=settings)
app.synth()
