"""Drives IAM, STS and Lambda by boto3, which takes everything from the environment, and says what came of it."""

import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

name, account = sys.argv[1], "000000000000"
arn = f"arn:aws:iam::{account}:"
path = f"/{name}/"
config = Config(retries={"total_max_attempts": 1})
quick = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 3}}
said = {}


def client(service, key=None):
    return boto3.client(service, config=config, **(key or {}))


def keys(c):
    return {"aws_access_key_id": c["AccessKeyId"], "aws_secret_access_key": c["SecretAccessKey"], "aws_session_token": c.get("SessionToken")}


def error(call, message=False, **arguments):
    """The name that the SDK has for what went wrong: that of its own class, where it has one."""
    try:
        call(**arguments)
    except ClientError as e:
        kind = type(e).__name__
        if kind == "ClientError":
            kind = e.response["Error"]["Code"]
        return f"{kind}: {e.response['Error']['Message']}" if message else kind
    return "none"


def policy(effect, action, resource):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource}]})


def trust(principal):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})


def every(operation, member, field, **arguments):
    pages = iam.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}, **arguments)
    return ",".join(sorted(item[field] if field else item for page in pages for item in page[member]))


iam, sts = client("iam"), client("sts")
said["root"] = sts.get_caller_identity()["Arn"]

# Users.
alice, bob = f"{name}-alice", f"{name}-bob"
said["user"] = iam.create_user(UserName=alice, Path=path, Tags=[{"Key": "colour", "Value": "blue"}])["User"]["Arn"]
iam.get_waiter("user_exists").wait(UserName=alice, **quick)
said["user again"] = error(iam.create_user, UserName=alice)
said["user nobody"] = error(iam.get_user, UserName=f"{name}-nobody")
iam.create_user(UserName=bob, Path=path)
said["users"] = every("list_users", "Users", "UserName", PathPrefix=path)
iam.update_user(UserName=bob, NewUserName=f"{name}-robert")
said["renamed"] = iam.get_user(UserName=f"{name}-robert")["User"]["UserName"]
iam.delete_user(UserName=f"{name}-robert")
iam.tag_user(UserName=alice, Tags=[{"Key": "size", "Value": "9"}])
said["tags"] = ",".join(t["Key"] + "=" + t["Value"] for t in iam.list_user_tags(UserName=alice)["Tags"])

# Access keys.
first = iam.create_access_key(UserName=alice)["AccessKey"]
second = iam.create_access_key(UserName=alice)["AccessKey"]
said["third key"] = error(iam.create_access_key, UserName=alice)
said["who"] = client("sts", keys(first)).get_caller_identity()["Arn"]
used = iam.get_access_key_last_used(AccessKeyId=first["AccessKeyId"])
said["last used"] = used["UserName"] + " " + used["AccessKeyLastUsed"]["ServiceName"]
iam.update_access_key(UserName=alice, AccessKeyId=second["AccessKeyId"], Status="Inactive")
said["keys"] = every("list_access_keys", "AccessKeyMetadata", "Status", UserName=alice)
said["inactive key"] = error(client("sts", keys(second)).get_caller_identity)
iam.delete_access_key(UserName=alice, AccessKeyId=second["AccessKeyId"])
said["wrong secret"] = error(client("sts", keys({**first, "SecretAccessKey": "wrong"})).get_caller_identity)
said["unknown key"] = error(client("sts", keys({**first, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE"})).get_caller_identity)
expired = keys({"AccessKeyId": os.environ["EXPIRED_KEY"], "SecretAccessKey": os.environ["EXPIRED_SECRET"], "SessionToken": os.environ["EXPIRED_TOKEN"]})
said["expired"] = error(client("lambda", expired).list_functions)

# Groups.
team, readonly = f"{name}-team", "arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess"
as_alice = client("lambda", keys(first))
iam.create_group(GroupName=team, Path=path)
iam.add_user_to_group(GroupName=team, UserName=alice)
said["group"] = every("get_group", "Users", "UserName", GroupName=team)
said["groups"] = every("list_groups_for_user", "Groups", "GroupName", UserName=alice)
said["before the group's policy"] = error(as_alice.list_functions)
iam.attach_group_policy(GroupName=team, PolicyArn=readonly)
said["by the group's policy"] = error(as_alice.list_functions)
said["group in use"] = error(iam.delete_group, GroupName=team)

# Managed policies and their versions.
actions = ["lambda:ListFunctions", "lambda:GetFunction", "lambda:GetPolicy", "lambda:GetAlias", "lambda:ListAliases"]
managed = iam.create_policy(PolicyName=f"{name}-policy", Path=path, Description="of a test", PolicyDocument=policy("Allow", actions[0], "*"))["Policy"]["Arn"]
iam.get_waiter("policy_exists").wait(PolicyArn=managed, **quick)
said["policy"] = managed
for action in actions[1:]:
    iam.create_policy_version(PolicyArn=managed, PolicyDocument=policy("Allow", action, "*"))
said["sixth version"] = error(iam.create_policy_version, PolicyArn=managed, PolicyDocument=policy("Allow", "lambda:*", "*"))
said["versions"] = every("list_policy_versions", "Versions", "VersionId", PolicyArn=managed)
iam.set_default_policy_version(PolicyArn=managed, VersionId="v2")
said["default"] = iam.get_policy(PolicyArn=managed)["Policy"]["DefaultVersionId"]
said["version"] = iam.get_policy_version(PolicyArn=managed, VersionId="v2")["PolicyVersion"]["Document"]["Statement"][0]["Action"]
iam.set_default_policy_version(PolicyArn=managed, VersionId="v1")
said["local policies"] = every("list_policies", "Policies", "PolicyName", Scope="Local", PathPrefix=path)
said["policies of AWS"] = str("AdministratorAccess" in every("list_policies", "Policies", "PolicyName", Scope="AWS").split(",")).lower()
said["malformed"] = error(iam.create_policy, PolicyName=f"{name}-bad", PolicyDocument='{"Version": "2012-10-17"')

# Roles.
role = f"{name}-role"
said["role"] = iam.create_role(RoleName=role, Path=path, AssumeRolePolicyDocument=trust({"Service": "lambda.amazonaws.com"}), MaxSessionDuration=7200)["Role"]["Arn"]
iam.get_waiter("role_exists").wait(RoleName=role, **quick)
iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust({"AWS": said["user"]}))
said["trusted"] = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"]
said["roles"] = every("list_roles", "Roles", "RoleName", PathPrefix=path)
iam.attach_role_policy(RoleName=role, PolicyArn=managed)
said["attached"] = every("list_attached_role_policies", "AttachedPolicies", "PolicyName", RoleName=role)
said["attached to"] = every("list_entities_for_policy", "PolicyRoles", "RoleName", PolicyArn=managed)
said["attached policies"] = every("list_policies", "Policies", "PolicyName", OnlyAttached=True, PathPrefix=path)
iam.put_role_policy(RoleName=role, PolicyName="inline", PolicyDocument=policy("Allow", "lambda:GetFunction", "*"))
said["inline"] = every("list_role_policies", "PolicyNames", None, RoleName=role)
said["inline policy"] = iam.get_role_policy(RoleName=role, PolicyName="inline")["PolicyDocument"]["Statement"][0]["Action"]
said["role in use"] = error(iam.delete_role, RoleName=role)
said["policy in use"] = error(iam.delete_policy, PolicyArn=managed)

# The account.
for alias in ("one", "two"):
    iam.create_account_alias(AccountAlias=f"{name}-{alias}")
said["alias"] = every("list_account_aliases", "AccountAliases", None)
iam.delete_account_alias(AccountAlias=f"{name}-two")
said["no alias"] = every("list_account_aliases", "AccountAliases", None)
said["users' quota"] = str(iam.get_account_summary()["SummaryMap"]["UsersQuota"])
details = [d for page in iam.get_paginator("get_account_authorization_details").paginate(Filter=["User", "Role"], PaginationConfig={"PageSize": 2})
           for d in page["UserDetailList"] + page["RoleDetailList"]]
said["details"] = ",".join([g for d in details if d.get("UserName") == alice for g in d["GroupList"]]
                           + [p["PolicyName"] for d in details if d.get("RoleName") == role for p in d["AttachedManagedPolicies"] + d["RolePolicyList"]])
while iam.generate_credential_report()["State"] != "COMPLETE":
    pass
said["report"] = str(f"{alice},{said['user']}," in iam.get_credential_report()["Content"].decode()).lower()
said["password policy"] = error(iam.get_account_password_policy)
said["refused"] = error(iam.create_login_profile, UserName=alice, Password="x")

# A user without rights assumes a role that has some.
iam.detach_group_policy(GroupName=team, PolicyArn=readonly)
iam.remove_user_from_group(GroupName=team, UserName=alice)
iam.delete_group(GroupName=team)
said["without a role"] = error(as_alice.list_functions)
assume = {"RoleArn": said["role"], "RoleSessionName": "session", "DurationSeconds": 900}
alice_sts = client("sts", keys(first))
said["assume denied"] = error(alice_sts.assume_role, **{**assume, "RoleArn": arn + "role/nobody"})
iam.put_user_policy(UserName=alice, PolicyName="assume", PolicyDocument=policy("Allow", "sts:AssumeRole", said["role"]))
session = keys(alice_sts.assume_role(**assume)["Credentials"])
said["session"] = client("sts", session).get_caller_identity()["Arn"]
said["with a role"] = error(client("lambda", session).list_functions)
said["token"] = client("sts", keys(alice_sts.get_session_token(DurationSeconds=900)["Credentials"])).get_caller_identity()["Arn"]

# What is allowed, what nothing allows, and what is denied.
function = f"arn:aws:lambda:us-east-1:{account}:function:identities-"
iam.put_user_policy(UserName=alice, PolicyName="invoke", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": [function + "open", function + "shut"]},
    {"Sid": "Never", "Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": function + "shut"}]}))
said["allowed"] = as_alice.invoke(FunctionName="identities-open", Payload=b'{"from": "a user"}')["Payload"].read().decode()
said["not allowed"] = error(as_alice.invoke, True, FunctionName="identities-other")
said["denied"] = error(as_alice.invoke, True, FunctionName="identities-shut")
said["iam denied"] = error(client("iam", keys(first)).list_users, True)

# Everything goes.
iam.detach_role_policy(RoleName=role, PolicyArn=managed)
iam.delete_role_policy(RoleName=role, PolicyName="inline")
iam.delete_role(RoleName=role)
said["role is gone"] = error(iam.get_role, RoleName=role)
said["session of no role"] = error(client("lambda", session).list_functions)
for version in said["versions"].split(","):
    if version != "v1":
        iam.delete_policy_version(PolicyArn=managed, VersionId=version)
iam.delete_policy(PolicyArn=managed)
for inline in iam.list_user_policies(UserName=alice)["PolicyNames"]:
    iam.delete_user_policy(UserName=alice, PolicyName=inline)
iam.delete_access_key(UserName=alice, AccessKeyId=first["AccessKeyId"])
iam.delete_user(UserName=alice)
said["left"] = every("list_users", "Users", "UserName", PathPrefix=path)

print(json.dumps(said))
