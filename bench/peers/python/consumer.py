"""The handler of the source system in Python, with its one rule made a loop over rules, on the standard library.

An event is parsed from its bytes, as Lambda's Python runtime does before it calls a handler.

    python3 consumer.py --corpus DIR --passes N
"""

import argparse
import base64
import json
import pathlib
import time

COOLDOWN_MS = 300_000


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def samples_of(message):
    samples = message.get("records", [message])
    for sample in samples:
        readings = sample.get("readings")
        if not isinstance(readings, dict) or not all(map(is_number, readings.values())):
            return None
    return samples


class State:
    def __init__(self):
        self.firing = {}
        self.noticed = {}
        self.records = self.malformed = self.alerts = self.resolved = self.suppressed = 0


def handler(event, state, rules, devices):
    alerts = []
    for record in event["Records"]:
        state.records += 1
        wrapped = json.loads(base64.b64decode(record["kinesis"]["data"]))
        try:
            samples = samples_of(json.loads(base64.b64decode(wrapped["p"])))
        except ValueError:
            samples = None
        if samples is None:
            state.malformed += 1
            continue
        device = wrapped["d"]
        zone = devices[device]
        firing = state.firing.setdefault(device, set())
        for sample in samples:
            readings = sample["readings"]
            for rule_id, metric, threshold, of in rules:
                if of is not None and of != zone:
                    continue
                value = readings.get(metric)
                if value is None:
                    continue
                if value > threshold:
                    if rule_id in firing:
                        continue
                    firing.add(rule_id)
                    state.alerts += 1
                    last = state.noticed.get((device, rule_id))
                    if last is not None and wrapped["t"] - last < COOLDOWN_MS:
                        state.suppressed += 1
                    else:
                        state.noticed[device, rule_id] = wrapped["t"]
                        alerts.append({"type": rule_id, "device": device, "value": value, "threshold": threshold})
                elif firing and rule_id in firing:
                    firing.remove(rule_id)
                    state.resolved += 1
    return {"processed": len(event["Records"]), "alerts": len(alerts)}


def read_events(path):
    data = path.read_bytes()
    events, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        events.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return events


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--passes", type=int, default=1)
    options = parser.parse_args()
    listed = json.loads((options.corpus / "rules.json").read_bytes())
    rules = [(rule["id"], rule["metric"], rule["threshold"], rule["zone"]) for rule in listed]
    devices = json.loads((options.corpus / "devices.json").read_bytes())
    events = read_events(options.corpus / "events.bin")
    cpu = 0.0
    # Nothing in Python gets faster by running it once before, so every pass counts.
    for _ in range(options.passes):
        state = State()
        began = time.process_time()
        for event in events:
            handler(json.loads(event), state, rules, devices)
        cpu += time.process_time() - began
    names = ["records", "malformed", "alerts", "resolved", "suppressed"]
    answer = {name: getattr(state, name) for name in names}
    print(json.dumps({**answer, "cpu_s": cpu, "passes": options.passes}))


if __name__ == "__main__":
    main()
