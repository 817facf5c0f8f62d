"""Stands in for the table of serials that may be provisioned: rows in a folder, and the conditions on them."""

import json
from pathlib import Path

from core import STUB, refuse, text

TABLE = "the-allow-list"


def row_path(key):
    return STUB / "serials" / f"{key['serial']['S']}.json"


def row(key):
    return json.loads(row_path(key).read_text()) if row_path(key).exists() else None


def save(item):
    row_path(item).parent.mkdir(exist_ok=True)
    row_path(item).write_text(json.dumps(item, sort_keys=True))


def file(option):
    return json.loads(Path(option.removeprefix("file://")).read_text())


def dynamodb_batch_get_item(one, options, operand):
    asked = file(one["request-items"])
    keys = asked[TABLE]["Keys"]
    assert list(asked) == [TABLE] and asked[TABLE]["ConsistentRead"] is True and 0 < len(keys) <= 100
    names = ["serial", "device", "type", "zone", "attributes", "thing_type", "thing_group", "policy", "used_by"]
    cells = ",".join(f"{name}.S" for name in names)
    assert one["query"] == f'Responses."{TABLE}"[].[{cells}]', one["query"]
    # In an order of its own, as the service answers.
    found = sorted((row(key) for key in keys if row(key)), key=lambda item: item["device"]["S"], reverse=True)
    text([[item.get(name, {}).get("S") for name in names] for item in found])


def dynamodb_get_item(one, options, operand):
    assert one["table-name"] == TABLE and one["consistent-read"]
    assert one["query"] == "[Item.device.S,Item.used_by.S]", one["query"]
    item = row(file(one["key"])) or {}
    text([[item.get(name, {}).get("S") for name in ["device", "used_by"]]])


def dynamodb_transact_write_items(one, options, operand):
    puts = [each["Put"] for each in file(one["transact-items"])]
    assert 0 < len(puts) <= 100
    for put in puts:
        assert put["TableName"] == TABLE and put["ConditionExpression"] == "attribute_not_exists(used_by)"
        if "used_by" in (row(put["Item"]) or {}):
            refuse("TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons")
    for put in puts:
        save(put["Item"])


def dynamodb_delete_item(one, options, operand):
    assert one["table-name"] == TABLE and one["condition-expression"] == "attribute_not_exists(used_by)"
    key = file(one["key"])
    if "used_by" in (row(key) or {}):
        refuse("ConditionalCheckFailedException", "The conditional request failed")
    row_path(key).unlink(missing_ok=True)


def dynamodb_update_item(one, options, operand):
    assert one["update-expression"] == "REMOVE used_by, used_at"
    assert one["condition-expression"] == "used_by = :was"
    key = file(one["key"])
    item = row(key)
    if item is None or item.get("used_by") != file(one["expression-attribute-values"])[":was"]:
        refuse("ConditionalCheckFailedException", "The conditional request failed")
    save({name: value for name, value in item.items() if name not in ("used_by", "used_at")})
