"""Mends of the emulator's Athena, which asks DuckDB. This file knows nothing of fleetform."""

import datetime
import json
import os
import subprocess
import tempfile

import duckdb
from ministack.core.responses import get_account_id, get_region
from ministack.services import athena
from ministack.services.cloudformation import provisioners


def save_named_queries() -> None:
    """AWS has a resource for a named query. The emulator keeps such queries, and knows no resource for them."""

    def create(logical_id, properties, stack_name):
        _, _, body = athena._create_named_query(properties)
        name = json.loads(body)["NamedQueryId"]
        return name, {"NamedQueryId": name}

    def update(physical_id, old, new, stack_name):
        # On AWS every change makes another query.
        delete(physical_id, old)
        return create(None, new, stack_name)

    def delete(physical_id, properties):
        athena._delete_named_query({"NamedQueryId": physical_id})

    handlers = {"create": create, "update": update, "delete": delete}
    provisioners._RESOURCE_HANDLERS["AWS::Athena::NamedQuery"] = handlers


def read_tables_of_table_buckets(python: str, port: str) -> None:
    """AWS reads the tables of table buckets. The emulator would, by an extension of DuckDB that it has to download, so
    another reader of Iceberg copies each table for a query."""

    reader = os.path.join(os.path.dirname(os.path.abspath(__file__)), "iceberg.py")

    def attach(connection, buckets):
        for alias, arn in buckets.items():
            with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
                where = [f"http://127.0.0.1:{port}/iceberg", arn, get_account_id(), get_region()]
                subprocess.run([python, reader, "copy", copy.name, *where], check=True)
                connection.execute(f"ATTACH ':memory:' AS {alias}")
                connection.execute(f"CREATE SCHEMA {alias}.telemetry")
                connection.execute(f"CREATE TABLE {alias}.telemetry.samples AS FROM read_parquet('{copy.name}')")

    athena._attach_s3_table_buckets = attach


def know_what_athena_knows() -> None:
    """What Athena's dialect has and DuckDB's has not: files of Parquet have moments of UTC without a zone there."""
    connect = duckdb.connect

    def connect_as_athena(*arguments, **settings):
        connection = connect(*arguments, **settings)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE MACRO with_timezone(moment, zone) AS timezone(zone, moment::TIMESTAMP)")
        return connection

    duckdb.connect = connect_as_athena


def say_moments_as_athena_does() -> None:
    """AWS names the zone of a moment, in its type and in its text."""
    text = athena._datum_text

    def datum_text(value):
        if isinstance(value, datetime.datetime) and value.tzinfo is not None:
            return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
        return text(value)

    athena._datum_text = datum_text
    athena._DUCKDB_TYPE_MAP["TIMESTAMP WITH TIME ZONE"] = "timestamp(6) with time zone"


def mend(python: str, port: str) -> None:
    save_named_queries()
    read_tables_of_table_buckets(python, port)
    know_what_athena_knows()
    say_moments_as_athena_does()
