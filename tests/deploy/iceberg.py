"""The table of samples as another reader and writer of Iceberg has it, and Parquet files as another reader has them.

usage: iceberg.py append CATALOG BUCKET_ARN ACCOUNT REGION   rows on standard input, a JSON object a line
       iceberg.py count  CATALOG BUCKET_ARN ACCOUNT REGION   rows by zone and day on standard output
       iceberg.py copy FILE CATALOG BUCKET_ARN ACCOUNT REGION   the rows, as a file of Parquet
       iceberg.py parquet FILE...                            their rows, a JSON object a line
"""

import datetime
import json
import pathlib
import sys

import pyarrow
import pyarrow.parquet
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.transforms import DayTransform, IdentityTransform


def table(catalog, bucket, account, region):
    # The emulator takes account and region from here, and looks at no signature.
    credential = f"AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/s3tables/aws4_request"
    properties = {"auth": {"type": "noop"}, "header.Authorization": credential}
    rest = RestCatalog("samples", uri=catalog, warehouse=bucket, **properties)
    found = rest.load_table(("telemetry", "samples"))
    if not found.spec().fields:
        # The emulator makes a table without the partitions that its resource asks for.
        with found.update_spec() as spec:
            spec.add_field("zone", IdentityTransform(), "zone")
            spec.add_field("sampled_at", DayTransform(), "sampled_on")
    return rest.load_table(("telemetry", "samples"))


def append(found):
    schema = found.schema().as_arrow()
    rows = [json.loads(line) for line in sys.stdin]
    for row in rows:
        for name in ("sampled_at", "ingested_at"):
            row[name] = datetime.datetime.fromtimestamp(row[name] / 1e6, datetime.timezone.utc)
    columns = [pyarrow.array([row.get(field.name) for row in rows], field.type) for field in schema]
    found.append(pyarrow.Table.from_arrays(columns, schema=schema))


def count(found):
    counts = {}
    for row in found.scan(selected_fields=("zone", "sampled_at")).to_arrow().to_pylist():
        key = f"{row['zone']} {row['sampled_at'].date()}"
        counts[key] = counts.get(key, 0) + 1
    print(json.dumps(counts, sort_keys=True))


def parquet(paths):
    for path in paths:
        # Each file by itself: what its folders are called is not in it.
        for row in pyarrow.parquet.ParquetFile(pathlib.Path(path)).read().to_pylist():
            for name, value in row.items():
                if isinstance(value, datetime.datetime):
                    row[name] = round(value.timestamp() * 1e6)
            print(json.dumps({name: value for name, value in row.items() if value is not None}, sort_keys=True))


def main(arguments):
    match arguments:
        case ["append", catalog, bucket, account, region]:
            append(table(catalog, bucket, account, region))
        case ["count", catalog, bucket, account, region]:
            count(table(catalog, bucket, account, region))
        case ["copy", path, catalog, bucket, account, region]:
            pyarrow.parquet.write_table(table(catalog, bucket, account, region).scan().to_arrow(), path)
        case ["parquet", *paths]:
            parquet(paths)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
