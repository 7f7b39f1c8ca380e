"""Drives IAM and STS with boto3 through what the examples of AWS's documentation for
Python do with second factors and with roles that are linked to a service. A phone is
played by a reader of QR codes. It fails at the first answer that is not AWS's."""

import base64
import hashlib
import hmac
import io
import json
import struct
import time
import urllib.parse
import uuid

import boto3
import zxingcpp
from botocore.exceptions import ClientError
from PIL import Image

run = uuid.uuid4().hex[:8]
iam = boto3.resource("iam")
client = iam.meta.client


def name(what):
    return f"{what}-{run}"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def refused(code, call, *args, text="", **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code and text in got["Message"], f"{got}, want {code} {text}"
    else:
        raise AssertionError(f"{call} {kwargs} is not refused with {code}")


class Phone:
    """An app that has scanned the picture."""

    def __init__(self, picture):
        (scanned,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
        self.url = urllib.parse.urlsplit(scanned.text)
        assert (self.url.scheme, self.url.netloc) == ("otpauth", "totp"), scanned.text
        self.secret = urllib.parse.parse_qs(self.url.query)["secret"][0]
        self.step = int(time.time()) // 30 - 3

    def code(self):
        """The next code: where a person would wait, the clock goes a step on."""
        self.step += 1
        mac = hmac.new(base64.b32decode(self.secret), struct.pack(">Q", self.step), hashlib.sha1).digest()
        return f"{(struct.unpack_from('>I', mac, mac[19] & 15)[0] & 0x7FFFFFFF) % 1000000:06}"


def person(what):
    """A user with a device and a key."""
    user = iam.create_user(UserName=name(what))
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name(what))
    phone = Phone(device.qr_code_png)
    assert device.base32_string_seed.decode() == phone.secret and name(what) in phone.url.path
    code1, code2 = phone.code(), phone.code()
    refused("InvalidAuthenticationCode", user.enable_mfa, SerialNumber=device.serial_number, AuthenticationCode1=code2, AuthenticationCode2=code1)
    user.enable_mfa(SerialNumber=device.serial_number, AuthenticationCode1=code1, AuthenticationCode2=code2)
    assert [m.serial_number for m in user.mfa_devices.all()] == [device.serial_number]
    return user, device, phone, user.create_access_key_pair()


def client_of(service, credentials):
    return boto3.client(service, aws_access_key_id=credentials["AccessKeyId"], aws_secret_access_key=credentials["SecretAccessKey"],
                        aws_session_token=credentials["SessionToken"])


def teardown(user, device):
    for policy in user.policies.all():
        policy.delete()
    for key in user.access_keys.all():
        key.delete()
    refused("DeleteConflict", user.delete, text="must delete MFA device first")
    refused("DeleteConflict", device.delete, text="Must deactivate first")
    for mfa in user.mfa_devices.all():
        mfa.disassociate()
    device.delete()
    user.delete()


def session_token():
    user, device, phone, key = person("token")
    user.create_policy(PolicyName="users", PolicyDocument=document(
        {"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": True}}}))
    sts = boto3.client("sts", aws_access_key_id=key.id, aws_secret_access_key=key.secret)
    refused("AccessDenied", client_of("iam", sts.get_session_token()["Credentials"]).list_users)
    refused("AccessDenied", sts.get_session_token, SerialNumber=device.serial_number, TokenCode="000000", text="invalid MFA one time pass code")
    code = phone.code()
    session = sts.get_session_token(SerialNumber=device.serial_number, TokenCode=code)["Credentials"]
    assert user.name in [u["UserName"] for page in client_of("iam", session).get_paginator("list_users").paginate() for u in page["Users"]]
    refused("AccessDenied", sts.get_session_token, SerialNumber=device.serial_number, TokenCode=code, text="invalid MFA one time pass code")
    teardown(user, device)


def assume_role():
    user, device, phone, key = person("assume")
    role = iam.create_role(RoleName=name("mfa"), AssumeRolePolicyDocument=document(
        {"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "sts:AssumeRole", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": True}}}))
    policy = iam.create_policy(PolicyName=name("mfa"), PolicyDocument=document({"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}))
    role.attach_policy(PolicyArn=policy.arn)
    user.create_policy(PolicyName="assume", PolicyDocument=document({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role.arn}))
    sts = boto3.client("sts", aws_access_key_id=key.id, aws_secret_access_key=key.secret)
    refused("AccessDenied", sts.assume_role, RoleArn=role.arn, RoleSessionName="demo")
    answer = sts.assume_role(RoleArn=role.arn, RoleSessionName="demo", SerialNumber=device.serial_number, TokenCode=phone.code())
    client_of("iam", answer["Credentials"]).list_users()
    for attached in role.attached_policies.all():
        role.detach_policy(PolicyArn=attached.arn)
        attached.delete()
    role.delete()
    teardown(user, device)


def devices():
    user, device, phone, key = person("listed")
    spare = iam.create_virtual_mfa_device(VirtualMFADeviceName=name("spare"), Path="/team/")
    pages = client.get_paginator("list_virtual_mfa_devices")
    listed = {status: [d["SerialNumber"] for page in pages.paginate(AssignmentStatus=status, PaginationConfig={"PageSize": 1}) for d in page["VirtualMFADevices"]]
              for status in ("Assigned", "Unassigned", "Any")}
    assert device.serial_number in listed["Assigned"] and spare.serial_number in listed["Unassigned"], listed
    assert set(listed["Any"]) == {*listed["Assigned"], *listed["Unassigned"]}
    client.tag_mfa_device(SerialNumber=device.serial_number, Tags=[{"Key": "kind", "Value": "phone"}])
    assert client.list_mfa_device_tags(SerialNumber=device.serial_number)["Tags"] == [{"Key": "kind", "Value": "phone"}]
    assert iam.AccountSummary().summary_map["MFADevicesInUse"] >= 1
    assert any(row.startswith(f"{user.name},") and row.split(",")[7] == "true" for row in client.get_credential_report()["Content"].decode().splitlines())
    spare.delete()
    teardown(user, device)


def linked_role():
    made = client.create_service_linked_role(AWSServiceName="elasticbeanstalk.amazonaws.com", Description="Service-linked role demo.")
    role = iam.Role(made["Role"]["RoleName"])
    assert role.path == "/aws-service-role/elasticbeanstalk.amazonaws.com/" and role.name == "AWSServiceRoleForElasticBeanstalk"
    policy = list(role.attached_policies.all())[0]
    assert policy.default_version.document["Statement"] and not policy.is_attachable
    refused("InvalidInput", client.create_service_linked_role, AWSServiceName="elasticbeanstalk.amazonaws.com", text="has been taken in this account")
    refused("UnmodifiableEntity", role.delete)
    task = client.delete_service_linked_role(RoleName=role.name)["DeletionTaskId"]
    assert client.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    refused("NoSuchEntity", iam.Role(role.name).load)


for part in (session_token, assume_role, devices, linked_role):
    part()
print(json.dumps({"passed": True}))
