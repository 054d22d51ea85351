"""What applications call: an HTTP API with the routes of functions/openapi.json, and one function behind them."""

import json
from typing import Any

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks import ROOT
from stacks.grants import accept, allow, allow_key
from stacks.settings import Settings
from stacks.steps import Step, Steps, log_group
from stacks.storage import Storage
from stacks.workflow import Workflow

CONTRACT = ROOT / "functions" / "openapi.json"

# A client may wait 20 s for a picture. API Gateway waits 30 s for an answer, and no longer.
TIMEOUT = Duration.seconds(28)
GATEWAYS_TIMEOUT = Duration.seconds(30)

PREFLIGHT_KEPT = Duration.hours(1)
SENT = ("authorization", "content-type", "idempotency-key", "if-none-match", "prefer")
SIGNED = ("x-amz-content-sha256", "x-amz-date", "x-amz-security-token")
ANSWERED = ("etag", "location", "preference-applied")

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
LOGGED = (
    *("requestId", "requestTime", "identity.sourceIp", "identity.userArn", "routeKey", "path", "status"),
    *("responseLength", "responseLatency", "integrationErrorMessage", "authorizer.error", "error.message"),
)


class Api(Construct):
    """`step` is the function."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        steps: Steps,
        workflow: Workflow,
    ) -> None:
        super().__init__(scope, construct_id)
        self.step = self._function(settings, storage, steps, workflow)
        origins = list(settings.api.origins)
        api = apigateway.CfnApi(
            self,
            "Http",
            name=Aws.STACK_NAME,
            protocol_type="HTTP",
            cors_configuration=_cors(origins) if origins else None,
        )
        self._routes(api, settings)
        self._stage(api, settings, storage)
        self.step.invoked.add_permission(
            "Calls",
            principal=iam.ServicePrincipal("apigateway.amazonaws.com"),
            source_arn=f"arn:{Aws.PARTITION}:execute-api:{Aws.REGION}:{Aws.ACCOUNT_ID}:{api.ref}/*/*",
        )
        if origins and storage.new_uploads:
            storage.new_uploads.add_cors_rule(
                allowed_methods=[s3.HttpMethods.POST],
                allowed_origins=origins,
                allowed_headers=["*"],
                exposed_headers=["ETag", "Location"],
                max_age=int(PREFLIGHT_KEPT.to_seconds()),
            )
        self.id = api.ref
        self.url = f"https://{api.ref}.execute-api.{Aws.REGION}.{Aws.URL_SUFFIX}"

    def errors(self, period: Duration) -> cloudwatch.Metric:
        """Answers of API Gateway that are its or the function's own fault."""
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name="5xx",
            dimensions_map={"ApiId": self.id},
            statistic="Sum",
            period=period,
        )

    def _function(self, settings: Settings, storage: Storage, steps: Steps, workflow: Workflow) -> Step:
        promises = dynamodb.Table(
            self,
            "Promises",
            partition_key=dynamodb.Attribute(name="folder", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="forget_at",
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=storage.encryption,
            encryption_key=storage.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        accept(promises, "AwsSolutions-DDB3", because="a promise that is lost is an upload that is asked for again")
        step = steps.step(
            self,
            "Api",
            does="Answers the HTTP API: promises uploads, shows pictures, deletes them and starts them again",
            sizing=settings.functions.api,
            environment={
                "UPLOADS_BUCKET": storage.uploads.bucket_name,
                "UPLOAD_PREFIX": settings.upload_prefix,
                "MAX_BYTES": str(settings.limits.max_bytes),
                **settings.for_decoders(),
                "RENDITIONS_BUCKET": storage.renditions.bucket_name,
                "RESULTS_TABLE": storage.results.table_name,
                "PROMISES_TABLE": promises.table_name,
                "STATE_MACHINE": workflow.images.state_machine_arn,
            },
            timeout=TIMEOUT,
        )
        originals = storage.uploads.arn_for_objects(f"{settings.upload_prefix}*")
        any_upload = "the originals under the upload prefix, whose names are not known before"
        # Who uploads by a form, or follows a presigned URL, has the rights of the role that signed it, and no more.
        allow(step.role, "s3:PutObject", "s3:DeleteObject", on=[originals], because=any_upload)
        if not settings.delivery.enabled:  # or the URLs of renditions are presigned
            allow(
                step.role,
                "s3:GetObject",
                on=[storage.renditions.arn_for_objects("*")],
                because="renditions are named after uploads, whose names are not known before",
            )
        allow_key(step.role, storage.key, "kms:Decrypt", "kms:GenerateDataKey", through="s3")
        allow(step.role, "dynamodb:GetItem", on=[storage.results.table_arn, promises.table_arn])
        allow(step.role, "dynamodb:PutItem", on=[promises.table_arn])
        allow(step.role, "dynamodb:Query", on=[f"{storage.results.table_arn}/index/by-status"])
        allow_key(step.role, storage.key, "kms:Decrypt", through="dynamodb")
        allow(step.role, "states:StartExecution", on=[workflow.images.state_machine_arn])
        if not settings.is_express:  # or nobody could tell
            executions = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:execution"
            allow(
                step.role,
                "states:DescribeExecution",
                on=[f"{executions}:{workflow.images.state_machine_name}:redrive-*"],
                because="a redrive is named after the execution that it follows",
            )
        return step

    def _routes(self, api: apigateway.CfnApi, settings: Settings) -> None:
        """Those of the contract, each with the scopes that it names there."""
        jwt = settings.api.jwt
        integration = apigateway.CfnIntegration(
            self,
            "Integration",
            api_id=api.ref,
            integration_type="AWS_PROXY",
            integration_uri=self.step.invoked.function_arn,
            payload_format_version="2.0",
            timeout_in_millis=int(GATEWAYS_TIMEOUT.to_milliseconds()),
        )
        tokens = jwt and apigateway.CfnAuthorizer(
            self,
            "Tokens",
            api_id=api.ref,
            name="Tokens",
            authorizer_type="JWT",
            identity_source=["$request.header.Authorization"],
            jwt_configuration=apigateway.CfnAuthorizer.JWTConfigurationProperty(
                issuer=jwt.issuer, audience=list(jwt.audience)
            ),
        )
        for path, operations in _contract()["paths"].items():
            for method, operation in operations.items():
                [scopes] = [one["jwt"] for one in operation["security"] if "jwt" in one]
                apigateway.CfnRoute(
                    self,
                    operation["operationId"],
                    api_id=api.ref,
                    route_key=_route_key(method, path),
                    target=f"integrations/{integration.ref}",
                    authorization_type="JWT" if tokens else "AWS_IAM",
                    authorizer_id=tokens.ref if tokens else None,
                    authorization_scopes=scopes if tokens else None,
                )

    def _stage(self, api: apigateway.CfnApi, settings: Settings, storage: Storage) -> None:
        # By this name, because AWS adds each log group of API Gateway without this prefix to a policy of the account
        # that holds 5,120 characters.
        log = log_group(self, settings, storage.key, name=f"/aws/vendedlogs/apis/{Aws.STACK_NAME}")
        apigateway.CfnStage(
            self,
            "Stage",
            api_id=api.ref,
            stage_name="$default",
            auto_deploy=True,
            default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=settings.api.rate, throttling_burst_limit=settings.api.burst
            ),
            access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=log.log_group_arn, format=json.dumps({name: f"$context.{name}" for name in LOGGED})
            ),
        )


def _contract() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(CONTRACT.read_text())
    return document


def _route_key(method: str, path: str) -> str:
    """A key has slashes: only the last parameter of a path may be greedy, so that the function looks what follows."""
    before, key, _ = path.partition("{key}")
    return f"{method.upper()} {before}{'{key+}' if key else ''}"


def _cors(origins: list[str]) -> apigateway.CfnApi.CorsProperty:
    return apigateway.CfnApi.CorsProperty(
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[*SENT, *SIGNED],
        expose_headers=list(ANSWERED),
        max_age=int(PREFLIGHT_KEPT.to_seconds()),
    )
