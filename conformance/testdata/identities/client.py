"""Has the conversation of TestIdentities with boto3, or with AWS's command line, and says what was answered.

Both take everything from the environment. The command line runs in this process, by the function that `aws` is: to start
it anew takes most of a second, and there are a hundred calls."""

import base64
import contextlib
import io
import json
import os
import re
import sys
import tempfile
from datetime import timedelta

import boto3
import botocore.auth
from awscli.clidriver import create_clidriver
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

if sys.argv[1] == "who":  # and nothing else, with what credentials there are, and a clock that may be wrong
    now, off = botocore.auth.get_current_datetime, timedelta(milliseconds=int(os.environ.get("CLOCK", 0)))
    botocore.auth.get_current_datetime = lambda: now() - off
    try:
        print(boto3.client("sts").get_caller_identity()["Arn"])
    except ClientError as e:
        print(e.response["Error"]["Code"] + ": " + e.response["Error"]["Message"])
    sys.exit()

name, account = sys.argv[1], "000000000000"
arn = f"arn:aws:iam::{account}:"
path = f"/{name}/"
root = {"AccessKeyId": os.environ["AWS_ACCESS_KEY_ID"], "SecretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"]}
said = {}


class Refused(Exception):
    """name is the SDK's name for what went wrong: that of its own class, where it has one."""

    def __init__(self, name, message):
        self.name, self.message = name, message


class Boto3:
    def client(self, service, key):
        return boto3.client(service, config=Config(retries={"total_max_attempts": 1}), aws_access_key_id=key["AccessKeyId"],
                            aws_secret_access_key=key["SecretAccessKey"], aws_session_token=key.get("SessionToken"))

    def call(self, service, operation, key=root, **arguments):
        try:
            return getattr(self.client(service, key), xform_name(operation))(**arguments)
        except ClientError as e:
            kind = type(e).__name__
            raise Refused(e.response["Error"]["Code"] if kind == "ClientError" else kind, e.response["Error"]["Message"])

    def pages(self, operation, **arguments):
        return self.client("iam", root).get_paginator(xform_name(operation)).paginate(PaginationConfig={"PageSize": 1}, **arguments)

    def wait(self, waiter, **arguments):
        self.client("iam", root).get_waiter(waiter).wait(WaiterConfig={"Delay": 1, "MaxAttempts": 3}, **arguments)

    def invoke(self, function, key):
        return self.call("lambda", "Invoke", key, FunctionName=function, Payload=b'{"from": "a user"}')["Payload"].read().decode()


class CommandLine:
    drivers = {}  # by key, since each takes its key once

    def run(self, service, words, key, arguments, *more):
        for member, value in arguments.items():
            words = [*words, "--" + xform_name(member, "-")]
            if value is not True:
                words.append(value if isinstance(value, str) else json.dumps(value))
        os.environ.update(AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"], AWS_SESSION_TOKEN=key.get("SessionToken", ""))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if key["SecretAccessKey"] not in self.drivers:
                self.drivers[key["SecretAccessKey"]] = create_clidriver()
            status = self.drivers[key["SecretAccessKey"]].main([service, *words, *more])
        if status != 0:
            found = re.search(r"\((\w+)\) when calling the \w+ operation: (.*)", err.getvalue(), re.S)
            if not found:
                raise RuntimeError(err.getvalue())
            kind, message = found.groups()
            known = boto3.client(service).exceptions.from_code(kind).__name__  # it prints codes, and has boto3's classes
            raise Refused(kind if known == "ClientError" else known, message.strip())
        return json.loads(out.getvalue() or "{}")

    def call(self, service, operation, key=root, **arguments):
        return self.run(service, [xform_name(operation, "-")], key, arguments)

    def pages(self, operation, **arguments):
        return [self.run("iam", [xform_name(operation, "-")], root, arguments, "--page-size", "1")]

    def wait(self, waiter, **arguments):
        self.run("iam", ["wait", waiter.replace("_", "-")], root, arguments)

    def invoke(self, function, key):
        with tempfile.NamedTemporaryFile() as out:
            self.run("lambda", ["invoke"], key, {"FunctionName": function, "Payload": '{"from": "a user"}'}, out.name)
            return out.read().decode()


sdk = CommandLine() if name == "awscli" else Boto3()
call = sdk.call


def error(service, operation, key=root, **arguments):
    try:
        call(service, operation, key, **arguments)
    except Refused as e:
        return e.name
    return "none"


def told(call, *arguments):
    try:
        call(*arguments)
    except Refused as e:
        return f"{e.name}: {e.message}"
    return "none"

def policy(effect, action, resource):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource}]})


def trust(principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})


def every(operation, member, field, **arguments):
    return ",".join(sorted(item[field] if field else item for page in sdk.pages(operation, **arguments) for item in page[member]))


def who(key):
    return call("sts", "GetCallerIdentity", key)["Arn"]


def functions(key):
    return error("lambda", "ListFunctions", key)


said["root"] = who(root)

# Users.
alice, bob = f"{name}-alice", f"{name}-bob"
said["user"] = call("iam", "CreateUser", UserName=alice, Path=path, Tags=[{"Key": "colour", "Value": "blue"}])["User"]["Arn"]
sdk.wait("user_exists", UserName=alice)
said["user again"] = error("iam", "CreateUser", UserName=alice)
said["user nobody"] = error("iam", "GetUser", UserName=f"{name}-nobody")
call("iam", "CreateUser", UserName=bob, Path=path)
said["users"] = every("ListUsers", "Users", "UserName", PathPrefix=path)
call("iam", "UpdateUser", UserName=bob, NewUserName=f"{name}-robert")
said["renamed"] = call("iam", "GetUser", UserName=f"{name}-robert")["User"]["UserName"]
call("iam", "DeleteUser", UserName=f"{name}-robert")
call("iam", "TagUser", UserName=alice, Tags=[{"Key": "size", "Value": "9"}])
said["tags"] = ",".join(t["Key"] + "=" + t["Value"] for t in call("iam", "ListUserTags", UserName=alice)["Tags"])

# Access keys.
first = call("iam", "CreateAccessKey", UserName=alice)["AccessKey"]
second = call("iam", "CreateAccessKey", UserName=alice)["AccessKey"]
said["third key"] = error("iam", "CreateAccessKey", UserName=alice)
said["who"] = who(first)
used = call("iam", "GetAccessKeyLastUsed", AccessKeyId=first["AccessKeyId"])
said["last used"] = used["UserName"] + " " + used["AccessKeyLastUsed"]["ServiceName"]
call("iam", "UpdateAccessKey", UserName=alice, AccessKeyId=second["AccessKeyId"], Status="Inactive")
said["keys"] = every("ListAccessKeys", "AccessKeyMetadata", "Status", UserName=alice)
said["inactive key"] = error("sts", "GetCallerIdentity", second)
call("iam", "DeleteAccessKey", UserName=alice, AccessKeyId=second["AccessKeyId"])
said["wrong secret"] = error("sts", "GetCallerIdentity", {**first, "SecretAccessKey": "wrong"})
said["unknown key"] = error("sts", "GetCallerIdentity", {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "another"})
said["expired"] = functions({"AccessKeyId": os.environ["EXPIRED_KEY"], "SecretAccessKey": os.environ["EXPIRED_SECRET"], "SessionToken": os.environ["EXPIRED_TOKEN"]})

# Groups.
team, readonly = f"{name}-team", "arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess"
call("iam", "CreateGroup", GroupName=team, Path=path)
call("iam", "AddUserToGroup", GroupName=team, UserName=alice)
said["group"] = every("GetGroup", "Users", "UserName", GroupName=team)
said["groups"] = every("ListGroupsForUser", "Groups", "GroupName", UserName=alice)
said["before the group's policy"] = functions(first)
call("iam", "AttachGroupPolicy", GroupName=team, PolicyArn=readonly)
said["by the group's policy"] = functions(first)
said["group in use"] = error("iam", "DeleteGroup", GroupName=team)

# Managed policies and their versions.
actions = ["lambda:ListFunctions", "lambda:GetFunction", "lambda:GetPolicy", "lambda:GetAlias", "lambda:ListAliases"]
managed = call("iam", "CreatePolicy", PolicyName=f"{name}-policy", Path=path, Description="of a test", PolicyDocument=policy("Allow", actions[0], "*"))["Policy"]["Arn"]
sdk.wait("policy_exists", PolicyArn=managed)
said["policy"] = managed
for action in actions[1:]:
    call("iam", "CreatePolicyVersion", PolicyArn=managed, PolicyDocument=policy("Allow", action, "*"))
said["sixth version"] = error("iam", "CreatePolicyVersion", PolicyArn=managed, PolicyDocument=policy("Allow", "lambda:*", "*"))
said["versions"] = every("ListPolicyVersions", "Versions", "VersionId", PolicyArn=managed)
call("iam", "SetDefaultPolicyVersion", PolicyArn=managed, VersionId="v2")
said["default"] = call("iam", "GetPolicy", PolicyArn=managed)["Policy"]["DefaultVersionId"]
said["version"] = call("iam", "GetPolicyVersion", PolicyArn=managed, VersionId="v2")["PolicyVersion"]["Document"]["Statement"][0]["Action"]
call("iam", "SetDefaultPolicyVersion", PolicyArn=managed, VersionId="v1")
said["local policies"] = every("ListPolicies", "Policies", "PolicyName", Scope="Local", PathPrefix=path)
said["policies of AWS"] = str("AdministratorAccess" in every("ListPolicies", "Policies", "PolicyName", Scope="AWS").split(",")).lower()
said["malformed"] = error("iam", "CreatePolicy", PolicyName=f"{name}-bad", PolicyDocument='{"Version": "2012-10-17"')

# Roles.
role = f"{name}-role"
said["role"] = call("iam", "CreateRole", RoleName=role, Path=path, AssumeRolePolicyDocument=trust({"Service": "lambda.amazonaws.com"}), MaxSessionDuration=7200)["Role"]["Arn"]
sdk.wait("role_exists", RoleName=role)
call("iam", "UpdateAssumeRolePolicy", RoleName=role, PolicyDocument=trust({"AWS": said["user"]}))
said["trusted"] = call("iam", "GetRole", RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
said["roles"] = every("ListRoles", "Roles", "RoleName", PathPrefix=path)
call("iam", "AttachRolePolicy", RoleName=role, PolicyArn=managed)
said["attached"] = every("ListAttachedRolePolicies", "AttachedPolicies", "PolicyName", RoleName=role)
said["attached to"] = every("ListEntitiesForPolicy", "PolicyRoles", "RoleName", PolicyArn=managed)
said["attached policies"] = every("ListPolicies", "Policies", "PolicyName", OnlyAttached=True, PathPrefix=path)
call("iam", "PutRolePolicy", RoleName=role, PolicyName="inline", PolicyDocument=policy("Allow", "lambda:GetFunction", "*"))
said["inline"] = every("ListRolePolicies", "PolicyNames", None, RoleName=role)
said["inline policy"] = call("iam", "GetRolePolicy", RoleName=role, PolicyName="inline")["PolicyDocument"]["Statement"][0]["Action"]
said["role in use"] = error("iam", "DeleteRole", RoleName=role)
said["policy in use"] = error("iam", "DeletePolicy", PolicyArn=managed)

# The account.
for alias in ("one", "two"):
    call("iam", "CreateAccountAlias", AccountAlias=f"{name}-{alias}")
said["alias"] = every("ListAccountAliases", "AccountAliases", None)
call("iam", "DeleteAccountAlias", AccountAlias=f"{name}-two")
said["no alias"] = every("ListAccountAliases", "AccountAliases", None)
said["users' quota"] = str(call("iam", "GetAccountSummary")["SummaryMap"]["UsersQuota"])
details = [d for page in sdk.pages("GetAccountAuthorizationDetails", Filter=["User", "Role"])
           for d in page["UserDetailList"] + page["RoleDetailList"]]
said["details"] = ",".join([g for d in details if d.get("UserName") == alice for g in d["GroupList"]]
                           + [p["PolicyName"] for d in details if d.get("RoleName") == role for p in d["AttachedManagedPolicies"] + d["RolePolicyList"]])
while call("iam", "GenerateCredentialReport")["State"] != "COMPLETE":
    pass
report = call("iam", "GetCredentialReport")["Content"]
report = (report if isinstance(report, bytes) else base64.b64decode(report)).decode()
said["report"] = str(f"{alice},{said['user']}," in report).lower()
said["password policy"] = error("iam", "GetAccountPasswordPolicy")
said["refused"] = error("iam", "CreateLoginProfile", UserName=alice, Password="x")

# A user without rights assumes a role that has some.
call("iam", "DetachGroupPolicy", GroupName=team, PolicyArn=readonly)
call("iam", "RemoveUserFromGroup", GroupName=team, UserName=alice)
call("iam", "DeleteGroup", GroupName=team)
said["without a role"] = functions(first)
assume = {"RoleArn": said["role"], "RoleSessionName": "session", "DurationSeconds": 900}
said["assume denied"] = error("sts", "AssumeRole", first, **{**assume, "RoleArn": arn + "role/nobody"})
call("iam", "PutUserPolicy", UserName=alice, PolicyName="assume", PolicyDocument=policy("Allow", "sts:AssumeRole", said["role"]))
session = call("sts", "AssumeRole", first, **assume)["Credentials"]
said["session"] = who(session)
said["with a role"] = functions(session)
said["token"] = who(call("sts", "GetSessionToken", first, DurationSeconds=900)["Credentials"])

# What is allowed, what nothing allows, and what is denied.
function = f"arn:aws:lambda:us-east-1:{account}:function:identities-"
call("iam", "PutUserPolicy", UserName=alice, PolicyName="invoke", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": [function + "open", function + "shut"]},
    {"Sid": "Never", "Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": function + "shut"}]}))
said["allowed"] = sdk.invoke("identities-open", first)
said["not allowed"] = told(sdk.invoke, "identities-other", first)
said["denied"] = told(sdk.invoke, "identities-shut", first)
said["iam denied"] = told(call, "iam", "ListUsers", first)

# Everything goes.
call("iam", "DetachRolePolicy", RoleName=role, PolicyArn=managed)
call("iam", "DeleteRolePolicy", RoleName=role, PolicyName="inline")
call("iam", "DeleteRole", RoleName=role)
said["role is gone"] = error("iam", "GetRole", RoleName=role)
said["session of no role"] = functions(session)
for version in said["versions"].split(","):
    if version != "v1":
        call("iam", "DeletePolicyVersion", PolicyArn=managed, VersionId=version)
call("iam", "DeletePolicy", PolicyArn=managed)
for inline in call("iam", "ListUserPolicies", UserName=alice)["PolicyNames"]:
    call("iam", "DeleteUserPolicy", UserName=alice, PolicyName=inline)
call("iam", "DeleteAccessKey", UserName=alice, AccessKeyId=first["AccessKeyId"])
call("iam", "DeleteUser", UserName=alice)
said["left"] = every("ListUsers", "Users", "UserName", PathPrefix=path)

print(json.dumps(said))
