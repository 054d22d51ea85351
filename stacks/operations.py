"""What watches over the pipeline: the sweep behind every execution that died, and the search for lost events."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.grants import accept, allow, role_for
from stacks.rules import rule_of
from stacks.settings import Settings
from stacks.steps import Steps
from stacks.storage import Storage
from stacks.workflow import Workflow, executions_of

SWEEPS_EVERY = Duration.minutes(15)

# Pictures whose Express executions died, and that a sweep has at work again at once: a burst that was too much for the
# account would be too much again. The local cloud starts processes for them on this machine's cores.
STARTED_AGAIN_AT_ONCE, STARTED_AGAIN_AT_ONCE_LOCALLY = 100, 4

# As `darkroom backfill --at-once 10` starts it. A Map lists 100 million objects at most.
RECONCILIATION = {
    "only": "missing",
    "since": "",
    "limit": 100_000_000,
    "batches_at_once": 1,
    "pictures_at_once": 10,
}


class Operations(Construct):
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
        listed = [machine.state_machine_arn for machine in workflow.listed]
        sweep = targets.LambdaFunction(steps.sweep.invoked)
        ended = rule_of(
            self,
            "Ended",
            file="ended_rule.json",
            values={
                "ImagePipeline": workflow.images.state_machine_arn,
                "Deletion": workflow.deletions.state_machine_arn,
            },
            does="An execution failed, timed out or was aborted: sweep up after it",
            target=sweep,
        )
        sweeps = events.Rule(
            self,
            "Sweeps",
            description="Looks for rows that were left PROCESSING, and for executions that ended badly",
            schedule=events.Schedule.rate(SWEEPS_EVERY),
            targets=[sweep],
        )
        self.rules = [ended, sweeps]
        # A call that failed is followed by the next scheduled one, which finds whatever it left. By default Lambda
        # would call again twice, also after a sweep that ran out of time, while thousands wait.
        steps.sweep.invoked.configure_async_invoke(retry_attempts=0)

        memory = dynamodb.Table(
            self,
            "Memory",
            partition_key=dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=storage.encryption,
            encryption_key=storage.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        accept(memory, "AwsSolutions-DDB3", because="what it forgets, the next sweep looks at once more")
        steps.sweep.function.add_environment("SWEEPS_TABLE", memory.table_name)
        allow(steps.sweep.role, "dynamodb:UpdateItem", on=[memory.table_arn])
        steps.sweep.function.add_environment("STATE_MACHINES", ",".join(listed))
        allow(steps.sweep.role, "states:ListExecutions", on=listed)
        allow(
            steps.sweep.role,
            "states:DescribeExecution",
            "states:GetExecutionHistory",
            on=[executions_of(machine) for machine in workflow.listed],
            because="an execution is named when it starts",
        )
        if settings.is_express:
            self._starts_again(settings, storage, steps, workflow)
        if settings.reconcile_days:
            self.rules.append(self._reconciles(settings.reconcile_days, settings.upload_prefix, workflow.backfills))

    def _starts_again(self, settings: Settings, storage: Storage, steps: Steps, workflow: Workflow) -> None:
        """Pictures whose executions died: the sweep watches their rows while they are at work again."""
        at_once = STARTED_AGAIN_AT_ONCE_LOCALLY if settings.local_cloud else STARTED_AGAIN_AT_ONCE
        steps.sweep.function.add_environment("STARTS_AGAIN", workflow.images.state_machine_arn)
        steps.sweep.function.add_environment("STARTS_AGAIN_AT_ONCE", str(at_once))
        allow(steps.sweep.role, "states:StartExecution", on=[workflow.images.state_machine_arn])
        allow(steps.sweep.role, "dynamodb:BatchGetItem", on=[storage.results.table_arn])

    def _reconciles(self, days: int, prefix: str, backfills: sfn.StateMachine) -> events.Rule:
        """A backfill of what has no row, a few pictures at a time."""
        role = role_for(self, "ReconcilesRole", service="events", source="events:rule/*")
        allow(role, "states:StartExecution", on=[backfills.state_machine_arn])
        asked = events.RuleTargetInput.from_object({**RECONCILIATION, "prefix": prefix})
        return events.Rule(
            self,
            "Reconciles",
            description="Makes the pictures whose events were lost",
            schedule=events.Schedule.rate(Duration.days(days)),
            targets=[targets.SfnStateMachine(backfills, role=role, input=asked)],
        )
