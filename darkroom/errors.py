"""What the tool says, in one line, when it cannot do what was asked; nothing of the picture's way itself.

DarkroomError        exit code 1
  CloudError         the local cloud did not start, answer or stop
  DeployError        the CDK command line is missing or ended with an error
  TargetError        no cloud to talk to, no stack there, or no such picture
"""

import re
from typing import Any

# How AWS's services call it that IAM does not allow something.
REFUSED = ("AccessDenied", "AccessDeniedException", "AuthorizationError")

# The hosts of AWS's services.
AWS = re.compile(r"\.(amazonaws\.com|api\.aws)\b")


class DarkroomError(Exception):
    """Its text is the line a person reads: what is wrong, and what to run."""


class CloudError(DarkroomError):
    pass


class DeployError(DarkroomError):
    pass


class TargetError(DarkroomError):
    pass


def explained(error: Exception) -> str | None:
    """The line for an error of the AWS client or of the system, or None for an error that only its traceback explains,
    and for a pipe that nobody reads any more."""
    from botocore import exceptions as aws

    if isinstance(error, DarkroomError):
        return str(error)
    if isinstance(error, (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError)):
        return f"no usable AWS credentials ({error}): sign in, or set AWS_PROFILE"
    if isinstance(error, (aws.ProfileNotFound, aws.TokenRetrievalError, aws.SSOError)):
        return f"{error}: sign in again, or set AWS_PROFILE to a profile that exists"
    if isinstance(error, aws.NoRegionError):
        return "no AWS region is chosen: set AWS_REGION"
    if isinstance(error, aws.ProxyConnectionError):
        return f"{error}: check HTTPS_PROXY"
    if isinstance(error, (aws.HTTPClientError, aws.ConnectionError)):
        return f"{error}: {_advice(error)}"
    if isinstance(error, aws.ClientError) and error.response["Error"]["Code"] in REFUSED:
        return f"not allowed (`darkroom policy` prints what you need): {error.response['Error']['Message']}"
    if isinstance(error, (aws.ClientError, aws.BotoCoreError)):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return f"{error.filename or 'cannot read or write'}: {error.strerror or error}"
    return None


def _advice(error: Any) -> str:
    """What to do about a connection that failed: to AWS, or to the local cloud."""
    from botocore.exceptions import SSLError

    wrong_certificate = isinstance(error, SSLError)
    if AWS.search(str(error)):
        return "check AWS_CA_BUNDLE and HTTPS_PROXY" if wrong_certificate else "check the network and HTTPS_PROXY"
    if wrong_certificate:
        return 'run eval "$(darkroom env)" again'
    return "is it running? `darkroom status` says so of the local cloud"
