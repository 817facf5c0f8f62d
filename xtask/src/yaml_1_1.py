"""Reads YAML files with a YAML 1.1 reader and prints, as JSON, what it saw in each.

A value that JSON does not have, such as a date, is printed as what it is, so that it differs from any string.
"""

import json
import sys

import yaml


def main() -> None:
    seen = {}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            seen[path] = yaml.safe_load(file)
    json.dump(seen, sys.stdout, default=repr)


main()
