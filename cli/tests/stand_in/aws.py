"""Stands in for the AWS command line: keeps what is made in a folder, and writes every call down.

It answers only the queries that the generated scripts ask, in the form of `--output text`, and refuses all others. It can
be told to throttle the first calls of every operation, and to kill the script after its n-th change.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import dynamodb
import iot
from core import SETTINGS, STUB, count, refuse, text

READS = ("describe-", "list-", "get-", "batch-get-")


def kill_script():
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main():
    words = sys.argv[1:]
    if words == ["--version"]:
        print(SETTINGS.get("version", "aws-cli/2.31.0 Python/3.13.7 Linux/6.8"))
        return
    if words[:3] == ["configure", "get", "region"]:
        print(SETTINGS.get("configured_region", ""))
        return
    service, operation, options = words[0], words[1], {}
    rest, name = words[2:], None
    for word in rest:
        if word.startswith("--") and len(word) > 2:
            name = word[2:]
            options[name] = []
        elif name is not None:
            options[name].append(word)
    # The file that get-object writes comes last, as an operand.
    operand = rest[rest.index("--region") - 1]
    one = {key: values[0] if values else True for key, values in options.items()}
    with (STUB / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if count(f"{service}.{operation}") <= SETTINGS.get("throttle", 0):
        refuse("ThrottlingException", "Rate exceeded")
    change = not operation.startswith(READS)
    number = count("changes") if change else 0
    name = f"{service}_{operation}".replace("-", "_")
    places = [globals(), vars(iot), vars(dynamodb)]
    next(place[name] for place in places if name in place)(one, options, operand)
    if change and SETTINGS.get("kill_after") == number:
        sys.stdout.flush()
        kill_script()


def sts_get_caller_identity(one, options, operand):
    text([[SETTINGS["account"]]])


# CloudFormation


def stack_path(name):
    return STUB / "stacks" / f"{name}.json"


def load(name):
    path = stack_path(name)
    if not path.exists():
        refuse("ValidationError", f"Stack with id {name} does not exist")
    return json.loads(path.read_text())


def save(name, stack):
    path = stack_path(name)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(stack))
    temporary.rename(path)


def cloudformation_describe_stacks(one, options, operand):
    stack, query = load(one["stack-name"]), one["query"]
    if query == "Stacks[0].StackStatus":
        status = stack["status"]
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            # Each look finds it one step on.
            stack["status"] = status.removesuffix("_IN_PROGRESS") + "_COMPLETE"
            save(one["stack-name"], stack)
        text([[status]])
    elif query == "Stacks[0].EnableTerminationProtection":
        text([[stack["protected"]]])
    elif query == "Stacks[0].Parameters[].[ParameterKey,ParameterValue]":
        text(stack["parameters"])
    elif query == "Stacks[0].Outputs[].[OutputKey,OutputValue]":
        text(outputs(one["stack-name"]).items())
    else:
        key = query.removeprefix("Stacks[0].Outputs[?OutputKey=='").removesuffix("'].OutputValue | [0]")
        text([[outputs(one["stack-name"]).get(key)]])


def outputs(name):
    if name.endswith("-artifacts"):
        return {"ArtifactBucketName": "the-bucket"}
    names = {"EvaluateFunctionName": "the-function", "TelemetryStreamName": "the-stream"}
    return {**names, "AllowListTableName": "the-allow-list", "ProvisioningTemplateName": "the-template"}


def cloudformation_get_template(one, options, operand):
    print(load(one["stack-name"])["template"], end="")


def cloudformation_create_change_set(one, options, operand):
    name, change = one["stack-name"], one["change-set-name"]
    if "template-url" in one:
        template = (STUB / "objects" / one["template-url"].split("/the-bucket/")[1]).read_text()
    else:
        template = Path(one["template-body"].removeprefix("file://")).read_text()
    parameters = [
        [part.split("=", 1)[1] for part in pair.split(",")] for pair in options.get("parameters", [])
    ]
    if one["change-set-type"] == "CREATE" and not stack_path(name).exists():
        save(name, {"status": "REVIEW_IN_PROGRESS", "protected": False, "changes": {}})
    stack = load(name)
    if change in stack["changes"]:
        refuse("AlreadyExistsException", f"ChangeSet {change} already exists")
    stack["changes"][change] = {"template": template, "parameters": parameters}
    save(name, stack)


def cloudformation_describe_change_set(one, options, operand):
    if one["query"].startswith("Changes"):
        text([["Add", None, "Thing", "AWS::IoT::Thing", None]])
        return
    stack = load(one["stack-name"])
    if one["change-set-name"] not in stack["changes"]:
        refuse("ChangeSetNotFound", f"ChangeSet [{one['change-set-name']}] does not exist")
    reason = SETTINGS.get("change_set_fails")
    if reason:
        text([[f"arn:{one['change-set-name']}", "FAILED", "UNAVAILABLE", reason]])
    else:
        text([[f"arn:{one['change-set-name']}", "CREATE_COMPLETE", "AVAILABLE", None]])


def cloudformation_delete_change_set(one, options, operand):
    stack = load(one["stack-name"])
    del stack["changes"][one["change-set-name"]]
    save(one["stack-name"], stack)


def cloudformation_execute_change_set(one, options, operand):
    stack = load(one["stack-name"])
    change = stack["changes"][one["change-set-name"]]
    created = stack["status"] == "REVIEW_IN_PROGRESS"
    status = SETTINGS.get("execution_ends_in", "CREATE_IN_PROGRESS" if created else "UPDATE_IN_PROGRESS")
    save(one["stack-name"], {**stack, **change, "status": status, "changes": {}})


def cloudformation_describe_stack_events(one, options, operand):
    name = one["stack-name"]
    text(
        [
            ["CREATE_FAILED", "Topic", "", "Invalid display name"],
            ["CREATE_IN_PROGRESS", name, f"arn:aws:cloudformation:x:1:stack/{name}/1", "User Initiated"],
            ["CREATE_FAILED", "Old", "arn:aws:sns:y", "of an earlier run"],
        ]
    )


def cloudformation_update_termination_protection(one, options, operand):
    save(one["stack-name"], {**load(one["stack-name"]), "protected": True})


def cloudformation_delete_stack(one, options, operand):
    stack_path(one["stack-name"]).unlink(missing_ok=True)


# Glue


def glue_get_catalog(one, options, operand):
    there = SETTINGS.get("catalog", True)
    if there is None:
        refuse("AccessDeniedException", "not authorized to perform: glue:GetCatalog")
    if not there and not stack_path("my-water-catalog").exists():
        refuse("EntityNotFoundException", f"Catalog {one['catalog-id']} not found.")
    text([[one["catalog-id"]]])


# What AWS IoT has once per account, and its log group


def iot_get_v2_logging_options(one, options, operand):
    if "logging" not in SETTINGS and not stack_path("my-water-account").exists():
        refuse("NotConfiguredException", "Logging is not configured.")
    text([SETTINGS.get("logging", ["arn:of-the-stack", False])])


def iot_describe_account_audit_configuration(one, options, operand):
    text([[SETTINGS.get("audit")]])


def logs_path(name):
    return STUB / "logs" / f"{name}.json"


def logs_describe_log_groups(one, options, operand):
    path = logs_path(one["log-group-name-prefix"])
    # A list without elements is no line at all here.
    if path.exists():
        text([[path.stem, json.loads(path.read_text())]])


def logs_create_log_group(one, options, operand):
    logs_path(one["log-group-name"]).parent.mkdir(exist_ok=True)
    logs_path(one["log-group-name"]).write_text("null")


def logs_put_retention_policy(one, options, operand):
    logs_path(one["log-group-name"]).write_text(one["retention-in-days"])


# S3


def s3api_list_objects_v2(one, options, operand):
    folder = STUB / "objects"
    keys = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    text([[key] for key in keys if key.startswith(one["prefix"])])


def s3api_put_object(one, options, operand):
    path = STUB / "objects" / one["key"]
    path.parent.mkdir(parents=True, exist_ok=True)
    if "if-none-match" in one:
        if SETTINGS.get("rival_takes_version") and count("rivals") == 1:
            path.write_text(json.dumps({"version": 1, "sha256": "f" * 64}, separators=(",", ":")))
        if path.exists():
            refuse("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    shutil.copyfile(one["body"], path)


def s3api_get_object(one, options, operand):
    shutil.copyfile(STUB / "objects" / one["key"], operand)


# Kinesis and Lambda


def kinesis_list_shards(one, options, operand):
    rounds = SETTINGS["shards"]
    shards = rounds[min(count("looks"), len(rounds)) - 1]
    text([[shard, number * 100] for number, shard in enumerate(shards)])


def kinesis_put_record(one, options, operand):
    record = json.loads(Path(one["data"].removeprefix("fileb://")).read_text())
    if record["k"] == "device":
        with (STUB / "devices").open("a") as devices:
            devices.write(json.dumps([one["partition-key"], record]) + "\n")
        return
    with (STUB / "records").open("a") as records:
        records.write(json.dumps([one["explicit-hash-key"], record["version"], record["sha256"]]) + "\n")


def lambda_get_account_settings(one, options, operand):
    text([[SETTINGS["unreserved"]]])


def lambda_get_function_concurrency(one, options, operand):
    text([[SETTINGS.get("held")]])


if __name__ == "__main__":
    main()
