"""Stands in for AWS IoT: things, their groups, certificates and the policies that are attached to them."""

import hashlib
import json
import subprocess
from pathlib import Path

from core import STUB, refuse, text


def thing_path(name):
    return STUB / "things" / f"{name}.json"


def thing(name):
    if not thing_path(name).exists():
        refuse("ResourceNotFoundException", f"Thing {name} cannot be found.")
    return json.loads(thing_path(name).read_text())


def save_thing(name, value):
    thing_path(name).parent.mkdir(exist_ok=True)
    thing_path(name).write_text(json.dumps(value, sort_keys=True))


def certificate_path(one):
    name = one.get("certificate-id") or (one.get("principal") or one["target"]).split("/")[-1]
    return STUB / "certificates" / f"{name}.json"


def certificate(one):
    if not certificate_path(one).exists():
        refuse("ResourceNotFoundException", "The certificate given in the principal does not exist.")
    return json.loads(certificate_path(one).read_text())


def save_certificate(one, value):
    certificate_path(one).parent.mkdir(exist_ok=True)
    certificate_path(one).write_text(json.dumps(value, sort_keys=True))


def iot_describe_thing(one, options, operand):
    found = thing(one["thing-name"])
    keys = one["query"].strip("[]").split(",")
    attributes = {f"attributes.{key}": value for key, value in found["attributes"].items()}
    text([[{"thingTypeName": found["type"], **attributes}.get(key) for key in keys]])


def iot_create_thing(one, options, operand):
    if thing_path(one["thing-name"]).exists():
        refuse("ResourceAlreadyExistsException", "Thing already exists.")
    save_thing(one["thing-name"], {"type": one["thing-type-name"], "attributes": {}, "groups": [], "principals": []})


def iot_update_thing(one, options, operand):
    found = thing(one["thing-name"])
    if "thing-type-name" in one:
        found["type"] = one["thing-type-name"]
    if "attribute-payload" in one:
        payload = json.loads(Path(one["attribute-payload"].removeprefix("file://")).read_text())
        assert payload["merge"] is True
        found["attributes"] |= payload["attributes"]
        found["attributes"] = {key: value for key, value in found["attributes"].items() if value}
    save_thing(one["thing-name"], found)


def iot_delete_thing(one, options, operand):
    if thing(one["thing-name"])["principals"]:
        refuse("InvalidRequestException", "Thing cannot be deleted while principals are attached.")
    thing_path(one["thing-name"]).unlink()


def iot_list_thing_groups_for_thing(one, options, operand):
    text([[group] for group in thing(one["thing-name"])["groups"]])


def iot_add_thing_to_thing_group(one, options, operand):
    found = thing(one["thing-name"])
    save_thing(one["thing-name"], {**found, "groups": sorted({*found["groups"], one["thing-group-name"]})})


def iot_remove_thing_from_thing_group(one, options, operand):
    found = thing(one["thing-name"])
    save_thing(one["thing-name"], {**found, "groups": sorted({*found["groups"]} - {one["thing-group-name"]})})


def iot_list_thing_principals(one, options, operand):
    text([[arn] for arn in thing(one["thing-name"])["principals"]])


def iot_attach_thing_principal(one, options, operand):
    certificate(one)
    found = thing(one["thing-name"])
    assert one["principal"] not in found["principals"], "attached twice"
    save_thing(one["thing-name"], {**found, "principals": [*found["principals"], one["principal"]]})


def iot_detach_thing_principal(one, options, operand):
    found = thing(one["thing-name"])
    found["principals"].remove(one["principal"])
    save_thing(one["thing-name"], found)


def openssl(*words, input=None):
    return subprocess.run(["openssl", *words], input=input, capture_output=True, check=True).stdout


def sign(request):
    """A certificate of this request, by an authority of the stand-in's own."""
    key, authority = STUB / "authority.key", STUB / "authority.crt"
    if not authority.exists():
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Authority", "-days", "30"]
        openssl("req", "-x509", *new, "-keyout", str(key), "-out", str(authority))
    return openssl("x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(key), "-CAcreateserial")


def add_certificate(pem, one):
    number = hashlib.sha256(pem).hexdigest()
    arn = f"arn:aws:iot:us-east-1:111111111111:cert/{number}"
    assert one["no-set-as-active"] and one["query"] == "certificateArn"
    save_certificate({"certificate-id": number}, {"status": "INACTIVE", "pem": pem.decode(), "policies": []})
    Path(one["certificate-pem-outfile"]).write_bytes(pem)
    text([[arn]])


def iot_create_certificate_from_csr(one, options, operand):
    add_certificate(sign(one["certificate-signing-request"].removeprefix("file://")), one)


def iot_create_keys_and_certificate(one, options, operand):
    key = one["private-key-outfile"]
    Path(key).write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    request = STUB / "request.csr"
    openssl("req", "-new", "-key", key, "-subj", "/CN=AWS IoT Certificate", "-out", str(request))
    add_certificate(sign(request), one)


def iot_list_certificates(one, options, operand):
    assert one["query"] == "certificates[?status=='INACTIVE'].[certificateId]", one["query"]
    paths = sorted((STUB / "certificates").glob("*.json"))
    text([[path.stem] for path in paths if json.loads(path.read_text())["status"] == "INACTIVE"])


def iot_describe_certificate(one, options, operand):
    found = certificate(one)
    key = one.get("query", "certificateDescription.status").removeprefix("certificateDescription.")
    if key == "certificateArn":
        print(f"arn:aws:iot:us-east-1:111111111111:cert/{one['certificate-id']}")
        return
    if key == "[certificateDescription.[status,caCertificateId]]":
        text([[found["status"], found.get("authority")]])
        return
    print(found[{"status": "status", "certificatePem": "pem"}[key]].rstrip())


def iot_update_certificate(one, options, operand):
    save_certificate(one, {**certificate(one), "status": one["new-status"]})


def iot_delete_certificate(one, options, operand):
    found = certificate(one)
    if found["status"] == "ACTIVE":
        refuse("CertificateStateException", "Certificate must be deactivated before it can be deleted.")
    if found["policies"] and "force-delete" not in one:
        refuse("DeleteConflictException", "Cannot delete. Policy is still attached.")
    certificate_path(one).unlink()


def iot_list_attached_policies(one, options, operand):
    text([[policy] for policy in certificate(one)["policies"]])


def iot_attach_policy(one, options, operand):
    found = certificate(one)
    assert one["policy-name"] not in found["policies"], "attached twice"
    save_certificate(one, {**found, "policies": sorted([*found["policies"], one["policy-name"]])})


def iot_detach_policy(one, options, operand):
    found = certificate(one)
    found["policies"].remove(one["policy-name"])
    save_certificate(one, found)
