"""Starts the emulator of AWS on loopback, with what it gets wrong mended: `emulator.py PORT FOLDER ICEBERG`, the last one being
a Python that reads Iceberg tables.

Each mend says what AWS does and the emulator does not. What the emulator loses without a mend is asserted on the
templates instead. This file knows nothing of fleetform.
"""

import contextvars
import json
import os
import re
import sys

PORT, FOLDER, ICEBERG = sys.argv[1:]

# Functions that the emulator starts would inherit this environment, so it is made here and nowhere else. The
# emulator reads it while it is imported.
os.environ.clear()
os.environ.update(
    {
        "PATH": "/usr/bin:/bin",
        "HOME": FOLDER,
        "TMPDIR": FOLDER,
        "TZ": "UTC",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": PORT,
        "MINISTACK_HOST": "127.0.0.1",
        "S3_DATA_DIR": os.path.join(FOLDER, "s3"),
        # Its MQTT listener takes every interface whatever BIND_HOST says: where it runs there must be loopback alone.
        "IOT_MTLS_ENABLED": "1",
        "LOG_LEVEL": "WARNING",
        # For the one function that it runs by itself, a custom resource of CloudFormation.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
        # No container engine is asked for.
        "DOCKER_HOST": "unix:///nonexistent",
    }
)

from ministack import app  # noqa: E402
from ministack.core.responses import request_scope  # noqa: E402
from ministack.services import iot, kinesis, lambda_svc, s3tables, scheduler  # noqa: E402
from ministack.services.cloudformation import _stacks, provisioners, stacks  # noqa: E402

import questions  # noqa: E402


def keep_attributes_of_unchanged_resources() -> None:
    """AWS keeps the attributes of a resource that an update leaves alone. In a nested stack the emulator forgets
    them, and every Fn::GetAtt on such a resource then fails."""
    update = provisioners._update_resource

    def update_resource(resource_type, physical_id, old, new, stack_name, logical_id=None, old_attrs=None):
        if old_attrs is None:
            resources = _stacks.get(stack_name, {}).get("_resources", {})
            old_attrs = resources.get(logical_id, {}).get("Attributes")
        return update(resource_type, physical_id, old, new, stack_name, logical_id, old_attrs)

    provisioners._update_resource = update_resource


def honour_retain_in_nested_stacks() -> None:
    """AWS honours DeletionPolicy wherever the resource is declared. The emulator deletes all of a nested stack."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"]
    delete = handlers["delete"]

    def delete_nested_stack(physical_id, properties):
        name = provisioners._nested_stack_lookup_name(physical_id)
        stack = _stacks.get(name, {})
        declared = stack.get("_template", {}).get("Resources", {})
        resources = stack.get("_resources", {})
        for logical_id in [each for each in resources if declared.get(each, {}).get("DeletionPolicy") == "Retain"]:
            kept = resources.pop(logical_id)
            stacks._add_event(
                stack["StackId"], name, logical_id, kept["ResourceType"], "DELETE_SKIPPED",
                physical_id=kept["PhysicalResourceId"],
            )
        delete(physical_id, properties)

    handlers["delete"] = delete_nested_stack


def put_messages_on_streams() -> None:
    """AWS runs the Kinesis action of a topic rule. The emulator drops it without a word."""
    topic_of_message = contextvars.ContextVar("topic_of_message", default="")
    run, dispatch = iot._run_rule_actions, iot._dispatch_rule_action

    async def run_rule_actions(account, region, rule, payload, topic="", client_id=None):
        token = topic_of_message.set(topic)
        try:
            await run(account, region, rule, payload, topic, client_id)
        finally:
            topic_of_message.reset(token)

    async def dispatch_rule_action(account, region, rule_name, action, event):
        if "kinesis" not in action:
            await dispatch(account, region, rule_name, action, event)
            return
        stream, key = action["kinesis"]["streamName"], action["kinesis"]["partitionKey"]
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        with request_scope(account, region):
            arn = f"arn:aws:kinesis:{region}:{account}:stream/{stream}"
            if not kinesis.put_record_internal(arn, substitute(key, topic_of_message.get()), data):
                raise RuntimeError(f"no active stream {stream}")

    iot._run_rule_actions, iot._dispatch_rule_action = run_rule_actions, dispatch_rule_action


def substitute(template: str, topic: str) -> str:
    """The substitution templates that a partition key may hold; anything else is an error, as it is on AWS."""

    def value(match: re.Match) -> str:
        level = re.fullmatch(r"topic\((\d+)\)", match.group(1).strip())
        if level is None:
            raise ValueError(f"substitution template {match.group(0)}")
        return topic.split("/")[int(level.group(1)) - 1]

    return re.sub(r"\$\{([^}]*)\}", value, template)


def accept_alarms_on_expressions() -> None:
    """AWS takes alarms on metric math. The emulator refuses the template, so such an alarm is made there on the first
    metric of its expression: it is deployed, with its actions and its threshold, but it is not the alarm that AWS
    would evaluate. What it computes is asserted on the template."""
    record = provisioners._cw_metric_alarm_record

    def metric_alarm_record(name, properties):
        first = next((each["MetricStat"] for each in properties.get("Metrics", []) if "MetricStat" in each), None)
        if first is not None:
            rest = {key: value for key, value in properties.items() if key != "Metrics"}
            properties = {**rest, **first["Metric"], "Period": first["Period"], "Statistic": first["Stat"]}
        return record(name, properties)

    provisioners._cw_metric_alarm_record = metric_alarm_record


def keep_policies_of_table_buckets() -> None:
    """AWS has a resource for the policy of a table bucket. The emulator keeps such policies, and knows no resource for
    them."""

    def create(logical_id, properties, stack_name):
        arn = properties["TableBucketARN"]
        s3tables._table_buckets[arn.rsplit("/", 1)[-1]]["_policy"] = json.dumps(properties["ResourcePolicy"])
        return arn, {}

    def update(physical_id, old, new, stack_name):
        return create(None, new, stack_name)

    def delete(physical_id, properties):
        s3tables._table_buckets.get(physical_id.rsplit("/", 1)[-1], {}).pop("_policy", None)

    handlers = {"create": create, "update": update, "delete": delete}
    provisioners._RESOURCE_HANDLERS["AWS::S3Tables::TableBucketPolicy"] = handlers


def leave_event_sources_to_the_test() -> None:
    """AWS retries, bisects and gives up on batches as the mapping says; the emulator's pollers do none of it. The
    test has a poller of its own, and two of them would deliver everything twice. For the same reason it invokes what a
    schedule would."""
    lambda_svc._poll_kinesis = lambda: False
    lambda_svc._poll_dynamodb_streams = lambda: False
    scheduler._tick_schedules = lambda: None


keep_attributes_of_unchanged_resources()
honour_retain_in_nested_stacks()
put_messages_on_streams()
accept_alarms_on_expressions()
keep_policies_of_table_buckets()
leave_event_sources_to_the_test()
questions.mend(ICEBERG, PORT)
sys.argv = ["ministack"]
app.main()
