//! Has the conversation of TestIdentities with the SDK for Rust, which takes
//! everything from the environment, and says what was answered.

use std::time::{Duration, SystemTime};
use std::{collections::BTreeMap, env, error::Error, fmt::Debug};

use aws_config::{retry::RetryConfig, BehaviorVersion, SdkConfig};
use aws_sdk_iam::client::Waiters;
use aws_sdk_iam::config::Credentials;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::types::{EntityType, PolicyScopeType, ReportStateType, StatusType, Tag};
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_smithy_async::time::TimeSource;
use serde_json::{json, Value};

type Any = Box<dyn Error>;

/// every is what all pages have, sorted.
macro_rules! every {
    ($operation:expr, $name:expr) => {{
        let found = $operation.into_paginator().page_size(1).items().send().collect::<Result<Vec<_>, _>>().await?;
        let mut all: Vec<String> = found.iter().map($name).map(String::from).collect();
        all.sort();
        all.join(",")
    }};
}

/// The clients of who has this key; of root without one.
struct As(SdkConfig);

impl As {
    async fn key(id: &str, secret: &str, token: Option<&str>) -> As {
        let key = Credentials::new(id, secret, token.map(String::from), None, "the test");
        let config = aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled());
        As(config.credentials_provider(key).load().await)
    }
    async fn session(c: Option<&aws_sdk_sts::types::Credentials>) -> As {
        let c = c.expect("a session has credentials");
        As::key(c.access_key_id(), c.secret_access_key(), Some(c.session_token())).await
    }
    fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.0)
    }
    fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.0)
    }
    async fn who(&self) -> Result<String, Any> {
        Ok(self.sts().get_caller_identity().send().await?.arn().unwrap_or_default().into())
    }
    async fn stranger(&self) -> String {
        error(self.sts().get_caller_identity().send().await)
    }
    async fn functions(&self) -> String {
        error(aws_sdk_lambda::Client::new(&self.0).list_functions().send().await)
    }
    async fn invoke(&self, function: &str) -> Result<InvokeOutput, SdkError<InvokeError>> {
        let event = Blob::new(r#"{"from": "a user"}"#);
        aws_sdk_lambda::Client::new(&self.0).invoke().function_name(function).payload(event).send().await
    }
}

/// Clock is behind by so much.
#[derive(Debug)]
struct Clock(Duration);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::now() - self.0
    }
}

/// error is the name that the SDK has for what went wrong: that of its own
/// variant, where it has one.
fn error<T, E: ProvideErrorMetadata + Debug, R: Debug>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "none".into(),
        Err(SdkError::ServiceError(e)) => {
            let variant = format!("{:?}", e.err());
            match variant.split('(').next() {
                Some("Unhandled") | None => e.err().code().unwrap_or("no code").into(),
                Some(name) => name.into(),
            }
        }
        Err(e) => format!("{e:?}"),
    }
}

/// told is the name and the text.
fn told<T, E: ProvideErrorMetadata + Debug, R: Debug>(result: Result<T, SdkError<E, R>>) -> String {
    let message = match &result {
        Err(SdkError::ServiceError(e)) => e.err().message().unwrap_or_default().to_string(),
        _ => String::new(),
    };
    format!("{}: {message}", error(result))
}

fn document(statements: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn policy(action: &str, resource: &str) -> String {
    document(json!([{"Effect": "Allow", "Action": action, "Resource": resource}]))
}

fn trust(kind: &str, who: &str) -> String {
    document(json!([{"Effect": "Allow", "Principal": {kind: who}, "Action": "sts:AssumeRole"}]))
}

/// first is the first statement of a policy as IAM answers it, escaped.
fn first(text: Option<&str>) -> Result<Value, Any> {
    let text = percent_encoding::percent_decode_str(text.unwrap_or_default()).decode_utf8()?.into_owned();
    Ok(serde_json::from_str::<Value>(&text)?["Statement"][0].take())
}

fn text(v: &Value) -> String {
    v.as_str().unwrap_or_default().into()
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().expect("a tag has both")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Any> {
    let name = env::args().nth(1).ok_or("whose conversation?")?;
    if name == "who" {
        // And nothing else, with what credentials there are, and a clock that may
        // be wrong.
        let off = env::var("CLOCK").map_or(Ok(0), |ms| ms.parse())?;
        let config = aws_config::defaults(BehaviorVersion::latest()).time_source(Clock(Duration::from_millis(off)));
        let sts = As(config.load().await).sts();
        match sts.get_caller_identity().send().await {
            Ok(who) => println!("{}", who.arn().unwrap_or_default()),
            refused => println!("{}", told(refused)),
        }
        return Ok(());
    }
    let mut said = BTreeMap::new();
    let mut say = |what: &str, answer: String| {
        said.insert(what.to_string(), answer);
    };
    let patience = Duration::from_secs(5);
    let path = &format!("/{name}/");
    let root = As::key(&env::var("AWS_ACCESS_KEY_ID")?, &env::var("AWS_SECRET_ACCESS_KEY")?, None).await;
    let iam = root.iam();
    say("root", root.who().await?);

    // Users.
    let (alice, bob, robert) = (&format!("{name}-alice"), &format!("{name}-bob"), &format!("{name}-robert"));
    let created = iam.create_user().user_name(alice).path(path).tags(tag("colour", "blue")).send().await?;
    let user = created.user().ok_or("no user")?.arn();
    say("user", user.into());
    iam.wait_until_user_exists().user_name(alice).wait(patience).await?;
    say("user again", error(iam.create_user().user_name(alice).send().await));
    say("user nobody", error(iam.get_user().user_name(format!("{name}-nobody")).send().await));
    iam.create_user().user_name(bob).path(path).send().await?;
    say("users", every!(iam.list_users().path_prefix(path), |u| u.user_name()));
    iam.update_user().user_name(bob).new_user_name(robert).send().await?;
    say("renamed", iam.get_user().user_name(robert).send().await?.user().map(|u| u.user_name()).unwrap_or_default().into());
    iam.delete_user().user_name(robert).send().await?;
    iam.tag_user().user_name(alice).tags(tag("size", "9")).send().await?;
    let tags = iam.list_user_tags().user_name(alice).send().await?;
    say("tags", tags.tags().iter().map(|t| format!("{}={}", t.key(), t.value())).collect::<Vec<_>>().join(","));

    // Access keys.
    let created = iam.create_access_key().user_name(alice).send().await?;
    let key = created.access_key().ok_or("no key")?;
    let created = iam.create_access_key().user_name(alice).send().await?;
    let second = created.access_key().ok_or("no key")?;
    let as_alice = As::key(key.access_key_id(), key.secret_access_key(), None).await;
    say("third key", error(iam.create_access_key().user_name(alice).send().await));
    say("who", as_alice.who().await?);
    let used = iam.get_access_key_last_used().access_key_id(key.access_key_id()).send().await?;
    let service = used.access_key_last_used().map(|u| u.service_name()).unwrap_or_default();
    say("last used", format!("{} {service}", used.user_name().unwrap_or_default()));
    iam.update_access_key().user_name(alice).access_key_id(second.access_key_id()).status(StatusType::Inactive).send().await?;
    say("keys", every!(iam.list_access_keys().user_name(alice), |k| k.status().map(|s| s.as_str()).unwrap_or_default()));
    say("inactive key", As::key(second.access_key_id(), second.secret_access_key(), None).await.stranger().await);
    iam.delete_access_key().user_name(alice).access_key_id(second.access_key_id()).send().await?;
    say("wrong secret", As::key(key.access_key_id(), "wrong", None).await.stranger().await);
    say("unknown key", As::key("AKIAIOSFODNN7EXAMPLE", key.secret_access_key(), None).await.stranger().await);
    let expired = As::key(&env::var("EXPIRED_KEY")?, &env::var("EXPIRED_SECRET")?, Some(&env::var("EXPIRED_TOKEN")?)).await;
    say("expired", expired.functions().await);

    // Groups.
    let (team, readonly) = (&format!("{name}-team"), "arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess");
    iam.create_group().group_name(team).path(path).send().await?;
    iam.add_user_to_group().group_name(team).user_name(alice).send().await?;
    say("group", every!(iam.get_group().group_name(team), |u| u.user_name()));
    say("groups", every!(iam.list_groups_for_user().user_name(alice), |g| g.group_name()));
    say("before the group's policy", as_alice.functions().await);
    iam.attach_group_policy().group_name(team).policy_arn(readonly).send().await?;
    say("by the group's policy", as_alice.functions().await);
    say("group in use", error(iam.delete_group().group_name(team).send().await));

    // Managed policies and their versions.
    let created = iam.create_policy().policy_name(format!("{name}-policy")).path(path).description("of a test");
    let created = created.policy_document(policy("lambda:ListFunctions", "*")).send().await?;
    let managed = created.policy().and_then(|p| p.arn()).ok_or("no policy")?;
    iam.wait_until_policy_exists().policy_arn(managed).wait(patience).await?;
    say("policy", managed.into());
    let version = |action: &str| iam.create_policy_version().policy_arn(managed).policy_document(policy(action, "*"));
    for action in ["GetFunction", "GetPolicy", "GetAlias", "ListAliases"] {
        version(&format!("lambda:{action}")).send().await?;
    }
    say("sixth version", error(version("lambda:*").send().await));
    let versions = every!(iam.list_policy_versions().policy_arn(managed), |v| v.version_id().unwrap_or_default());
    say("versions", versions.clone());
    iam.set_default_policy_version().policy_arn(managed).version_id("v2").send().await?;
    let got = iam.get_policy().policy_arn(managed).send().await?;
    say("default", got.policy().and_then(|p| p.default_version_id()).unwrap_or_default().into());
    let got = iam.get_policy_version().policy_arn(managed).version_id("v2").send().await?;
    say("version", text(&first(got.policy_version().and_then(|v| v.document()))?["Action"]));
    iam.set_default_policy_version().policy_arn(managed).version_id("v1").send().await?;
    let local = iam.list_policies().scope(PolicyScopeType::Local).path_prefix(path);
    say("local policies", every!(local, |p| p.policy_name().unwrap_or_default()));
    let of_aws = every!(iam.list_policies().scope(PolicyScopeType::Aws), |p| p.policy_name().unwrap_or_default());
    say("policies of AWS", of_aws.split(',').any(|p| p == "AdministratorAccess").to_string());
    let half = iam.create_policy().policy_name(format!("{name}-bad")).policy_document(r#"{"Version": "2012-10-17""#);
    say("malformed", error(half.send().await));

    // Roles.
    let role = &format!("{name}-role");
    let created = iam.create_role().role_name(role).path(path).max_session_duration(7200);
    let created = created.assume_role_policy_document(trust("Service", "lambda.amazonaws.com")).send().await?;
    let role_arn = created.role().ok_or("no role")?.arn();
    say("role", role_arn.into());
    iam.wait_until_role_exists().role_name(role).wait(patience).await?;
    iam.update_assume_role_policy().role_name(role).policy_document(trust("AWS", user)).send().await?;
    let got = iam.get_role().role_name(role).send().await?;
    say("trusted", text(&first(got.role().and_then(|r| r.assume_role_policy_document()))?["Principal"]["AWS"]));
    say("roles", every!(iam.list_roles().path_prefix(path), |r| r.role_name()));
    iam.attach_role_policy().role_name(role).policy_arn(managed).send().await?;
    say("attached", every!(iam.list_attached_role_policies().role_name(role), |p| p.policy_name().unwrap_or_default()));
    let entities = iam.list_entities_for_policy().policy_arn(managed).into_paginator().page_size(1).send();
    let entities = entities.collect::<Result<Vec<_>, _>>().await?;
    let roles = entities.iter().flat_map(|p| p.policy_roles()).filter_map(|r| r.role_name());
    say("attached to", roles.collect::<Vec<_>>().join(","));
    let attached = iam.list_policies().only_attached(true).path_prefix(path);
    say("attached policies", every!(attached, |p| p.policy_name().unwrap_or_default()));
    iam.put_role_policy().role_name(role).policy_name("inline").policy_document(policy("lambda:GetFunction", "*")).send().await?;
    say("inline", every!(iam.list_role_policies().role_name(role), |p| p.as_str()));
    let got = iam.get_role_policy().role_name(role).policy_name("inline").send().await?;
    say("inline policy", text(&first(Some(got.policy_document()))?["Action"]));
    say("role in use", error(iam.delete_role().role_name(role).send().await));
    say("policy in use", error(iam.delete_policy().policy_arn(managed).send().await));

    // The account.
    for alias in ["one", "two"] {
        iam.create_account_alias().account_alias(format!("{name}-{alias}")).send().await?;
    }
    say("alias", every!(iam.list_account_aliases(), |a| a.as_str()));
    iam.delete_account_alias().account_alias(format!("{name}-two")).send().await?;
    say("no alias", every!(iam.list_account_aliases(), |a| a.as_str()));
    let summary = iam.get_account_summary().send().await?;
    let quota = summary.summary_map().and_then(|m| m.iter().find(|(k, _)| k.as_str() == "UsersQuota")).map(|(_, n)| n.to_string());
    say("users' quota", quota.unwrap_or_default());
    let details = iam.get_account_authorization_details().filter(EntityType::User).filter(EntityType::Role);
    let details = details.into_paginator().page_size(2).send().collect::<Result<Vec<_>, _>>().await?;
    let mut all: Vec<&str> = vec![];
    for u in details.iter().flat_map(|p| p.user_detail_list()).filter(|u| u.user_name() == Some(alice)) {
        all.extend(u.group_list().iter().map(|g| g.as_str()));
    }
    for r in details.iter().flat_map(|p| p.role_detail_list()).filter(|r| r.role_name() == Some(role)) {
        all.extend(r.attached_managed_policies().iter().filter_map(|p| p.policy_name()));
        all.extend(r.role_policy_list().iter().filter_map(|p| p.policy_name()));
    }
    say("details", all.join(","));
    while iam.generate_credential_report().send().await?.state() != Some(&ReportStateType::Complete) {}
    let report = iam.get_credential_report().send().await?;
    let report = String::from_utf8(report.content().ok_or("no report")?.as_ref().to_vec())?;
    say("report", report.contains(&format!("{alice},{user},")).to_string());
    say("password policy", error(iam.get_account_password_policy().send().await));
    say("refused", error(iam.create_login_profile().user_name(alice).password("x").send().await));

    // A user without rights assumes a role that has some.
    iam.detach_group_policy().group_name(team).policy_arn(readonly).send().await?;
    iam.remove_user_from_group().group_name(team).user_name(alice).send().await?;
    iam.delete_group().group_name(team).send().await?;
    say("without a role", as_alice.functions().await);
    let assume = as_alice.sts().assume_role().role_session_name("session").duration_seconds(900);
    say("assume denied", error(assume.clone().role_arn("arn:aws:iam::000000000000:role/nobody").send().await));
    iam.put_user_policy().user_name(alice).policy_name("assume").policy_document(policy("sts:AssumeRole", role_arn)).send().await?;
    let session = As::session(assume.role_arn(role_arn).send().await?.credentials()).await;
    say("session", session.who().await?);
    say("with a role", session.functions().await);
    let token = as_alice.sts().get_session_token().duration_seconds(900).send().await?;
    say("token", As::session(token.credentials()).await.who().await?);

    // What is allowed, what nothing allows, and what is denied.
    let function = "arn:aws:lambda:us-east-1:000000000000:function:identities-";
    let rights = document(json!([
        {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": [format!("{function}open"), format!("{function}shut")]},
        {"Sid": "Never", "Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": format!("{function}shut")},
    ]));
    iam.put_user_policy().user_name(alice).policy_name("invoke").policy_document(rights).send().await?;
    let answer = as_alice.invoke("identities-open").await?.payload.ok_or("no answer")?;
    say("allowed", String::from_utf8(answer.into_inner())?);
    say("not allowed", told(as_alice.invoke("identities-other").await));
    say("denied", told(as_alice.invoke("identities-shut").await));
    say("iam denied", told(as_alice.iam().list_users().send().await));

    // Everything goes.
    iam.detach_role_policy().role_name(role).policy_arn(managed).send().await?;
    iam.delete_role_policy().role_name(role).policy_name("inline").send().await?;
    iam.delete_role().role_name(role).send().await?;
    say("role is gone", error(iam.get_role().role_name(role).send().await));
    say("session of no role", session.functions().await);
    for version in versions.split(',').filter(|v| *v != "v1") {
        iam.delete_policy_version().policy_arn(managed).version_id(version).send().await?;
    }
    iam.delete_policy().policy_arn(managed).send().await?;
    for inline in iam.list_user_policies().user_name(alice).send().await?.policy_names() {
        iam.delete_user_policy().user_name(alice).policy_name(inline).send().await?;
    }
    iam.delete_access_key().user_name(alice).access_key_id(key.access_key_id()).send().await?;
    iam.delete_user().user_name(alice).send().await?;
    say("left", every!(iam.list_users().path_prefix(path), |u| u.user_name()));

    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}
