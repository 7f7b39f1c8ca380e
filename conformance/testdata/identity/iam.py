"""Drives IAM and STS with boto3, through what the examples of AWS's documentation
for Python do with them: accounts, keys, policies, roles, users and groups, a user
who assumes a role, and sessions. It fails at the first answer that is not AWS's."""

import json
import time
import uuid

import boto3
from botocore.exceptions import ClientError

run = uuid.uuid4().hex[:8]
iam = boto3.resource("iam")
client = iam.meta.client
sts = boto3.client("sts")
account = sts.get_caller_identity()["Account"]


def name(what):
    return f"{what}-{run}"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(**principal):
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def refused(code, call, *args, text="", **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code and text in got["Message"], f"{got}, want {code} {text}"
    else:
        raise AssertionError(f"{call} {kwargs} is not refused with {code}")


def session(credentials):
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
    )


def accounts():
    alias = f"alias-{run}"
    client.create_account_alias(AccountAlias=alias)
    assert client.list_account_aliases()["AccountAliases"] == [alias]
    client.delete_account_alias(AccountAlias=alias)
    assert iam.AccountSummary().summary_map["UsersQuota"] > 0
    assert client.generate_credential_report()["State"] == "COMPLETE"
    assert client.get_credential_report()["Content"].startswith(b"user,arn,")
    details = client.get_account_authorization_details(Filter=["AWSManagedPolicy"])
    assert all("Statement" in v["Document"] for p in details["Policies"] for v in p["PolicyVersionList"])
    refused("NoSuchEntity", lambda: iam.AccountPasswordPolicy().minimum_password_length)
    assert list(iam.saml_providers.all()) == []


def keys():
    user = iam.create_user(UserName=name("keys"))
    key = user.create_access_key_pair()
    assert [k.id for k in user.access_keys.all()] == [key.id] and key.secret
    mine = boto3.Session(key.id, key.secret)
    assert mine.client("sts").get_caller_identity()["Arn"] == user.arn
    used = client.get_access_key_last_used(AccessKeyId=key.id)
    assert used["UserName"] == user.name and used["AccessKeyLastUsed"]["ServiceName"] == "sts"
    key.deactivate()
    refused("InvalidClientTokenId", mine.client("sts").get_caller_identity)
    key.activate()
    mine.client("sts").get_caller_identity()
    user.create_access_key_pair()
    refused("LimitExceeded", user.create_access_key_pair, text="Cannot exceed quota for AccessKeysPerUser: 2")
    refused("DeleteConflict", user.delete, text="must delete access keys first")
    for k in user.access_keys.all():
        k.delete()
    user.delete()


def policies():
    policy = iam.create_policy(PolicyName=name("rollback"), PolicyDocument=document(allow("s3:ListObjects")))
    assert policy.arn in [p.arn for p in iam.policies.filter(Scope="Local")]
    time.sleep(1)  # versions are told apart by their dates
    policy.create_version(PolicyDocument=document(allow("s3:PutObject")), SetAsDefault=True)
    policy.reload()
    assert policy.default_version.document["Statement"][0]["Action"] == "s3:PutObject"
    versions = sorted(policy.versions.all(), key=lambda v: v.create_date)
    assert [v.version_id for v in versions] == ["v1", "v2"]
    refused("DeleteConflict", policy.delete)
    versions[0].set_as_default()
    refused("DeleteConflict", versions[0].delete, text="default version")
    versions[1].delete()
    policy.delete()
    refused("NoSuchEntity", client.get_policy, PolicyArn=policy.arn, text="was not found")
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName=name("bad"), PolicyDocument="{}")


def roles():
    role = iam.create_role(RoleName=name("role"), AssumeRolePolicyDocument=trust(Service="lambda.amazonaws.com"))
    assert role.assume_role_policy_document["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert role.name in [r.name for r in iam.roles.all()]
    arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    role.attach_policy(PolicyArn=arn)
    assert [p.arn for p in role.attached_policies.all()] == [arn]
    refused("DeleteConflict", role.delete, text="must detach all policies first")
    role.detach_policy(PolicyArn=arn)
    client.put_role_policy(RoleName=role.name, PolicyName="own", PolicyDocument=document(allow("s3:GetObject")))
    assert role.Policy("own").policy_document["Statement"][0]["Action"] == "s3:GetObject"
    client.tag_role(RoleName=role.name, Tags=[{"Key": "team", "Value": "blue"}])
    role.reload()
    assert role.tags == [{"Key": "team", "Value": "blue"}]
    role.Policy("own").delete()
    assert client.list_instance_profiles_for_role(RoleName=role.name)["InstanceProfiles"] == []
    role.delete()
    refused("NoSuchEntity", iam.Role(role.name).load, text=f"The role with name {role.name} cannot be found.")


def users_and_groups():
    group = iam.create_group(GroupName=name("group"))
    user = iam.create_user(UserName=name("user"), Path="/team/", Tags=[{"Key": "a", "Value": "b"}])
    refused("EntityAlreadyExists", iam.create_user, UserName=user.name)
    refused("ValidationError", iam.create_user, UserName="a/b", text="userName")
    group.add_user(UserName=user.name)
    assert [u.name for u in group.users.all()] == [user.name]
    refused("DeleteConflict", group.delete)
    group.remove_user(UserName=user.name)
    user.update(NewUserName=name("renamed"))
    renamed = iam.User(name("renamed"))
    assert renamed.arn == f"arn:aws:iam::{account}:user/team/{name('renamed')}"
    # What a tool looks for before it deletes a user.
    for listed, of in (("list_mfa_devices", "MFADevices"), ("list_ssh_public_keys", "SSHPublicKeys"),
                       ("list_signing_certificates", "Certificates"), ("list_service_specific_credentials", "ServiceSpecificCredentials")):
        assert getattr(client, listed)(UserName=renamed.name)[of] == []
    refused("NoSuchEntity", client.delete_login_profile, UserName=renamed.name)
    refused("InvalidAction", client.create_login_profile, UserName=renamed.name, Password="x", text="is not carried out by Gust")
    renamed.delete()
    group.delete()
    for i in range(5):
        iam.create_group(GroupName=name(f"page{i}"))
    pages = client.get_paginator("list_groups").paginate(PaginationConfig={"PageSize": 2})
    found = [g["GroupName"] for page in pages for g in page["Groups"] if run in g["GroupName"]]
    assert found == [name(f"page{i}") for i in range(5)], found
    for g in found:
        iam.Group(g).delete()


def assuming():
    user = iam.create_user(UserName=name("demo"))
    key = user.create_access_key_pair()
    role = iam.create_role(RoleName=name("demo"), AssumeRolePolicyDocument=trust(AWS=user.arn))
    policy = iam.create_policy(PolicyName=name("demo"), PolicyDocument=document(allow("iam:ListUsers")))
    role.attach_policy(PolicyArn=policy.arn)
    user.create_policy(PolicyName="assume", PolicyDocument=document(allow("sts:AssumeRole", role.arn)))
    mine = boto3.Session(key.id, key.secret)
    refused("AccessDenied", mine.client("iam").list_users,
            text=f"User: {user.arn} is not authorized to perform: iam:ListUsers on resource: * because no identity-based policy allows")
    answer = mine.client("sts").assume_role(RoleArn=role.arn, RoleSessionName="AssumeRoleDemo")
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account}:assumed-role/{role.name}/AssumeRoleDemo"
    assumed = session(answer["Credentials"])
    assert user.name in [u["UserName"] for p in assumed.client("iam").get_paginator("list_users").paginate() for u in p["Users"]]
    refused("AccessDenied", assumed.client("iam").list_roles)
    narrow = mine.client("sts").assume_role(RoleArn=role.arn, RoleSessionName="narrow", Policy=document(allow("s3:*")), DurationSeconds=900)
    refused("AccessDenied", session(narrow["Credentials"]).client("iam").list_users)
    refused("MalformedPolicyDocument", mine.client("sts").assume_role, RoleArn=role.arn, RoleSessionName="bad", Policy="{")
    refused("ValidationError", mine.client("sts").assume_role, RoleArn=role.arn, RoleSessionName="long", DurationSeconds=43200)
    token = mine.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    assert session(token).client("sts").get_caller_identity()["Arn"] == user.arn
    refused("AccessDenied", session(token).client("sts").get_session_token, text="not authorized to perform: sts:GetSessionToken")
    simulated = client.simulate_principal_policy(PolicySourceArn=user.arn, ActionNames=["sts:AssumeRole", "s3:GetObject"], ResourceArns=[role.arn])
    assert [r["EvalDecision"] for r in simulated["EvaluationResults"]] == ["allowed", "implicitDeny"]
    role.detach_policy(PolicyArn=policy.arn)
    refused("AccessDenied", assumed.client("iam").list_users)  # at once
    policy.delete()
    role.delete()
    refused("InvalidClientTokenId", assumed.client("sts").get_caller_identity)
    for p in user.policies.all():
        p.delete()
    for k in user.access_keys.all():
        k.delete()
    user.delete()


def providers():
    arn = client.create_open_id_connect_provider(
        Url=f"https://{run}.example.com/realm", ClientIDList=["app"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{account}:oidc-provider/{run}.example.com/realm"
    client.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="two")
    assert client.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ClientIDList"] == ["app", "two"]
    refused("InvalidIdentityToken", sts.assume_role_with_web_identity,
            RoleArn=f"arn:aws:iam::{account}:role/none", RoleSessionName="web", WebIdentityToken="a.b.c")
    client.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


for part in (accounts, keys, policies, roles, users_and_groups, assuming, providers):
    part()
print(json.dumps({"passed": True}))
