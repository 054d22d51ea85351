"""What shows pictures: CloudFront before the renditions bucket, and the function that makes other sizes."""

from aws_cdk import Annotations, Duration
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from stacks import ROOT
from stacks.grants import accept, allow, allow_key, allow_secret
from stacks.settings import DeliverySettings, Settings
from stacks.steps import TIMEOUT, Step, Steps
from stacks.storage import Storage

VIEWER_REQUEST = ROOT / "stacks" / "viewer_request.js"

# What was asked for by a URL, functions/keys.py. It is made again when it is asked for again.
DERIVED = "derived/"
DERIVED_KEPT = Duration.days(30)

# What S3 and Lambda say of themselves, among it the ARN of a customer's own key. No answer sets a cookie.
UNSAID = (
    "Set-Cookie",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amzn-RequestId",
    "x-amzn-Trace-Id",
)

PRICE_CLASSES = {
    "PriceClass_100": cloudfront.PriceClass.PRICE_CLASS_100,
    "PriceClass_200": cloudfront.PriceClass.PRICE_CLASS_200,
    "PriceClass_All": cloudfront.PriceClass.PRICE_CLASS_ALL,
}


class Delivery(Construct):
    """`url` has the key of a rendition behind it; `secret` signs the URLs of other sizes, `step` makes them."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: Storage, steps: Steps
    ) -> None:
        super().__init__(scope, construct_id)
        ready = "a new secret is made when the signers are ready for it"
        signs = "the URLs of pictures in other sizes"
        self.secret = storage.secret(self, signs=signs, characters=64, unrotated_because=ready)
        self.step = self._deliver(settings, storage, steps)
        self._clean_up(storage, steps)
        self.distribution = self._distribution(settings.delivery, storage)
        self.url = f"https://{settings.delivery.domain or self.distribution.distribution_domain_name}"

    def lets_sign(self, step: Step, key: kms.IKey | None) -> None:
        """That function signs URLs, too."""
        step.function.add_environment("DELIVERY_URL", self.url)
        step.function.add_environment("DELIVERY_SECRET_ARN", self.secret.secret_arn)
        allow_secret(step.role, self.secret, key)

    def _deliver(self, settings: Settings, storage: Storage, steps: Steps) -> Step:
        deliver = steps.step(
            self,
            "Deliver",
            does="Answers with a picture in the size of a signed URL, or says where its newest rendition is",
            sizing=settings.functions.deliver,
            environment={
                "UPLOADS_BUCKET": storage.uploads.bucket_name,
                "RENDITIONS_BUCKET": storage.renditions.bucket_name,
                "RESULTS_TABLE": storage.results.table_name,
                "DELIVERY_SECRET_ARN": self.secret.secret_arn,
                **settings.for_deliver(),
            },
        )
        originals = storage.uploads.arn_for_objects(f"{settings.upload_prefix}*")
        derived = storage.renditions.arn_for_objects(f"{DERIVED}*")
        named_later = "they are named after uploads, whose names are not known before"
        # Without ListBucket, S3 answers 403 for an object that is not there. That request names no prefix.
        allow(deliver.role, "s3:ListBucket", "s3:ListBucketVersions", on=[storage.uploads.bucket_arn])
        allow(deliver.role, *storage.reads_pinned, on=[originals], because=named_later)
        allow(deliver.role, "s3:ListBucket", on=[storage.renditions.bucket_arn])
        allow(deliver.role, "s3:GetObject", "s3:PutObject", "s3:DeleteObject", on=[derived], because=named_later)
        allow_key(deliver.role, storage.key, "kms:Decrypt", "kms:GenerateDataKey", through="s3")
        allow(deliver.role, "dynamodb:GetItem", on=[storage.results.table_arn])
        allow_key(deliver.role, storage.key, "kms:Decrypt", through="dynamodb")
        allow_secret(deliver.role, self.secret, storage.key)
        return deliver

    def _clean_up(self, storage: Storage, steps: Steps) -> None:
        """Other sizes go with their picture, and by themselves."""
        steps.cleanup.function.add_environment("DERIVED_SIZES", "true")
        storage.renditions.add_lifecycle_rule(id="Derived", prefix=DERIVED, expiration=DERIVED_KEPT)

    def _distribution(self, chosen: DeliverySettings, storage: Storage) -> cloudfront.Distribution:
        files = origins.S3BucketOrigin.with_origin_access_control(storage.renditions)
        url = self.step.invoked.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        answers = origins.FunctionUrlOrigin.with_origin_access_control(url, read_timeout=TIMEOUT)
        headers = self._headers()
        asked = cloudfront.BehaviorOptions(
            origin=answers,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            cache_policy=self._cache("Answers", by=cloudfront.CacheHeaderBehavior.allow_list("Accept")),
            response_headers_policy=headers,
            function_associations=[self._viewer_request()],
            compress=False,
        )
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment="Darkroom: pictures, in every size",
            default_behavior=cloudfront.BehaviorOptions(
                origin=files,
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
                cache_policy=self._cache("Files", kept=Duration.days(365)),
                response_headers_policy=headers,
                compress=False,
            ),
            additional_behaviors={"/i/*": asked, "/p/*": asked},
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=PRICE_CLASSES[chosen.price_class],
            domain_names=[chosen.domain] if chosen.domain else None,
            certificate=self._certificate(chosen.certificate),
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            log_bucket=self._access_logs(storage) if chosen.access_log else None,
            web_acl_id=chosen.web_acl,
        )
        if not chosen.domain:
            accept(
                distribution, "AwsSolutions-CFR4", because="CloudFront's own domain has CloudFront's own certificate"
            )
        if not chosen.access_log:
            accept(distribution, "AwsSolutions-CFR3", because="the setting delivery.access_log turns it on")
        if not chosen.web_acl:
            accept(distribution, "AwsSolutions-CFR2", because="the setting delivery.web_acl names one")
        accept(distribution, "AwsSolutions-CFR1", because="who may see a picture is no matter of countries")
        if storage.key:
            warning = "@aws-cdk/aws-cloudfront-origins:updateImportedKeyPolicyOac"
            Annotations.of(distribution).acknowledge_warning(warning, "docs/key-policy.json lets CloudFront decrypt")
        return distribution

    def _viewer_request(self) -> cloudfront.FunctionAssociation:
        function = cloudfront.Function(
            self,
            "ViewerRequest",
            comment="Of requests that have the same answer it makes one",
            code=cloudfront.FunctionCode.from_file(file_path=str(VIEWER_REQUEST)),
            runtime=cloudfront.FunctionRuntime.JS_2_0,
        )
        return cloudfront.FunctionAssociation(event_type=cloudfront.FunctionEventType.VIEWER_REQUEST, function=function)

    def _cache(
        self,
        construct_id: str,
        *,
        by: cloudfront.CacheHeaderBehavior | None = None,
        kept: Duration | None = None,
    ) -> cloudfront.CachePolicy:
        """`kept` where an answer does not say for how long. No cookie and no query is passed on, or tells two requests
        apart."""
        return cloudfront.CachePolicy(
            self,
            construct_id,
            header_behavior=by,
            min_ttl=Duration.seconds(0),
            default_ttl=kept or Duration.seconds(0),
            max_ttl=Duration.days(365),
        )

    def _headers(self) -> cloudfront.ResponseHeadersPolicy:
        """Other sites may embed pictures: that is what they are delivered for."""
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True)
            ),
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    cloudfront.ResponseCustomHeader(
                        header="Cross-Origin-Resource-Policy", value="cross-origin", override=True
                    )
                ]
            ),
            remove_headers=list(UNSAID),
        )

    def _certificate(self, arn: str | None) -> acm.ICertificate | None:
        return acm.Certificate.from_certificate_arn(self, "Certificate", arn) if arn else None

    def _access_logs(self, storage: Storage) -> s3.Bucket:
        """Its own bucket: CloudFront delivers by an ACL, which the bucket of S3's access logs does not take."""
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_PREFERRED,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(90))],
            removal_policy=storage.removal_policy,
        )
        accept(bucket, "AwsSolutions-S1", because="it holds access logs")
        return bucket
