"""A stand-in for Amazon Timestream that keeps what it is sent and answers what it is asked, by DuckDB.

Rows of one name (dimensions, measure name, time) are one, of which the highest version stays. An answer comes in pages,
the first of them empty, as the service's do while it computes.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import duckdb

PAGE_ROWS = 100
SQL_TYPES = {"VARCHAR": "VARCHAR", "BIGINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN"}
SCALAR_TYPES = {"HUGEINT": "BIGINT"}
# What the service has and DuckDB has not, or has under another name.
MACROS = """
CREATE MACRO from_milliseconds(ms) AS make_timestamp(CAST(ms AS BIGINT) * 1000);
CREATE MACRO to_milliseconds(moment) AS epoch_ms(moment);
CREATE OR REPLACE MACRO now() AS TIMESTAMP '2026-01-31 10:30:00';
"""

rows = {}


class Refused(Exception):
    pass


def write(body):
    for record in body["Records"]:
        dimensions = tuple((one["Name"], one["Value"]) for one in record["Dimensions"])
        name = (dimensions, record["MeasureName"], int(record["Time"]))
        if name not in rows or rows[name]["Version"] < record["Version"]:
            rows[name] = record
    return {"RecordsIngested": {"Total": len(body["Records"])}}


def columns():
    found = {"device_id": "VARCHAR", "zone": "VARCHAR", "device_type": "VARCHAR", "measure_name": "VARCHAR"}
    for record in rows.values():
        for measure in record["MeasureValues"]:
            found[measure["Name"]] = SQL_TYPES[measure["Type"]]
    return {"time": "TIMESTAMP", **found}


def typed(measure):
    kind, value = measure["Type"], measure["Value"]
    return {"VARCHAR": str, "BIGINT": int, "DOUBLE": float, "BOOLEAN": lambda text: text == "true"}[kind](value)


def ask(statement):
    kinds = columns()
    if statement.startswith("DESCRIBE"):
        head = [("Column", "VARCHAR"), ("Type", "VARCHAR"), ("Timestream attribute type", "VARCHAR")]
        return head, [(name, kind.lower(), "MULTI") for name, kind in kinds.items()]
    database = duckdb.connect()
    database.execute("SET timezone = 'UTC'; CREATE SCHEMA water;" + MACROS)
    names = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
    database.execute(f"CREATE TABLE water.samples ({names})")
    values = []
    for (dimensions, measure_name, time), record in rows.items():
        row = dict(dimensions, measure_name=measure_name, time=time)
        row.update((measure["Name"], typed(measure)) for measure in record["MeasureValues"])
        values.append([row.get(name) for name in kinds])
    marks = ", ".join("epoch_ms(CAST(? AS BIGINT))" if name == "time" else "?" for name in kinds)
    if values:
        database.executemany(f"INSERT INTO water.samples VALUES ({marks})", values)
    try:
        answer = database.execute(statement)
    except duckdb.Error as error:
        raise Refused(str(error)) from error
    head = [(one[0], SCALAR_TYPES.get(str(one[1]), str(one[1]))) for one in answer.description]
    return head, answer.fetchall()


def text(value, kind):
    if value is None:
        return {"NullValue": True}
    if kind == "TIMESTAMP":
        return {"ScalarValue": value.strftime("%Y-%m-%d %H:%M:%S.%f") + "000"}
    return {"ScalarValue": str(value).lower() if isinstance(value, bool) else str(value)}


def query(body):
    head, found = ask(body["QueryString"])
    info = [{"Name": name, "Type": {"ScalarType": kind}} for name, kind in head]
    status = {"ProgressPercentage": 0.0, "CumulativeBytesMetered": 0}
    if "NextToken" not in body:
        return {"QueryId": "q", "ColumnInfo": info, "Rows": [], "NextToken": "0", "QueryStatus": status}
    begin = int(body["NextToken"])
    end = min(begin + PAGE_ROWS, len(found))
    page = [{"Data": [text(value, kind) for value, (_, kind) in zip(row, head)]} for row in found[begin:end]]
    status["CumulativeBytesMetered"] = 10_000_000
    answer = {"QueryId": "q", "ColumnInfo": info, "Rows": page, "QueryStatus": status}
    if end < len(found):
        answer["NextToken"] = str(end)
    return answer


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        operation = self.headers["x-amz-target"].split(".")[1]
        try:
            status, answer = 200, {"WriteRecords": write, "Query": query}[operation](body)
        except Refused as error:
            status, answer = 400, {"__type": "ValidationException", "message": str(error)}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
try:
    server.serve_forever()
finally:
    sys.stdout.close()
