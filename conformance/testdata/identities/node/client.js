// Has the conversation of TestIdentities with the SDK for JavaScript, which takes
// everything from the environment, and says what was answered.
import * as iam from '@aws-sdk/client-iam'
import * as lambda from '@aws-sdk/client-lambda'
import * as sts from '@aws-sdk/client-sts'

if (process.argv[2] === 'who') { // and nothing else, with what credentials there are, and a clock that may be wrong
  const now = Date.now
  Date.now = () => now() - Number(process.env.CLOCK ?? 0)
  const client = new sts.STSClient({ maxAttempts: Number(process.env.ATTEMPTS ?? 3) })
  console.log(await client.send(new sts.GetCallerIdentityCommand()).then((who) => who.Arn, (e) => `${e.name}: ${e.message}`))
  process.exit()
}

const name = process.argv[2]
const path = `/${name}/`
const said = {}

const as = (c) => c && { accessKeyId: c.AccessKeyId, secretAccessKey: c.SecretAccessKey, sessionToken: c.SessionToken }
const clientOf = (Client, key) => new Client({ maxAttempts: 1, credentials: as(key) })

// call sends an operation: call(iam.CreateUserCommand, {...}), as root or with a key.
const clients = new Map([[iam, iam.IAMClient], [lambda, lambda.LambdaClient], [sts, sts.STSClient]])
const call = (Command, input = {}, key) => {
  const [, Client] = [...clients].find(([service]) => Object.values(service).includes(Command))
  return clientOf(Client, key).send(new Command(input))
}
const refused = (promise, tell) => promise.then(() => 'none', (e) => {
  if (!e.$metadata) throw e
  return tell ? `${e.name}: ${e.message}` : e.name
})
const error = (...args) => refused(call(...args))
const who = async (key) => (await call(sts.GetCallerIdentityCommand, {}, key)).Arn
const functions = (key) => error(lambda.ListFunctionsCommand, {}, key)
const invoke = (FunctionName, key) => call(lambda.InvokeCommand, { FunctionName, Payload: '{"from": "a user"}' }, key)
const client = clientOf(iam.IAMClient)
const wait = (waiter, input) => waiter({ client, maxWaitTime: 5, minDelay: 1, maxDelay: 1 }, input)
const pages = async (paginate, member, input, pageSize = 1) => { // paginators write into their input
  const all = []
  for await (const page of paginate({ client, pageSize }, { ...input })) all.push(...[member].flat().flatMap((m) => page[m] ?? []))
  return all
}
const every = async (paginate, member, field, input) =>
  (await pages(paginate, member, input)).map((item) => (field ? item[field] : item)).sort().join()
const document = (...Statement) => JSON.stringify({ Version: '2012-10-17', Statement })
const policy = (Effect, Action, Resource) => document({ Effect, Action, Resource })
const trust = (Principal) => document({ Effect: 'Allow', Principal, Action: 'sts:AssumeRole' })
const first = (text) => JSON.parse(decodeURIComponent(text)).Statement[0]

said.root = await who()

// Users.
const alice = { UserName: `${name}-alice` }
const bob = `${name}-bob`
said.user = (await call(iam.CreateUserCommand, { ...alice, Path: path, Tags: [{ Key: 'colour', Value: 'blue' }] })).User.Arn
await wait(iam.waitUntilUserExists, alice)
said['user again'] = await error(iam.CreateUserCommand, alice)
said['user nobody'] = await error(iam.GetUserCommand, { UserName: `${name}-nobody` })
await call(iam.CreateUserCommand, { UserName: bob, Path: path })
said.users = await every(iam.paginateListUsers, 'Users', 'UserName', { PathPrefix: path })
const robert = { UserName: `${name}-robert` }
await call(iam.UpdateUserCommand, { UserName: bob, NewUserName: robert.UserName })
said.renamed = (await call(iam.GetUserCommand, robert)).User.UserName
await call(iam.DeleteUserCommand, robert)
await call(iam.TagUserCommand, { ...alice, Tags: [{ Key: 'size', Value: '9' }] })
said.tags = (await call(iam.ListUserTagsCommand, alice)).Tags.map((t) => `${t.Key}=${t.Value}`).join()

// Access keys.
const { AccessKey: key } = await call(iam.CreateAccessKeyCommand, alice)
const { AccessKey: second } = await call(iam.CreateAccessKeyCommand, alice)
said['third key'] = await error(iam.CreateAccessKeyCommand, alice)
said.who = await who(key)
const used = await call(iam.GetAccessKeyLastUsedCommand, { AccessKeyId: key.AccessKeyId })
said['last used'] = `${used.UserName} ${used.AccessKeyLastUsed.ServiceName}`
await call(iam.UpdateAccessKeyCommand, { ...alice, AccessKeyId: second.AccessKeyId, Status: 'Inactive' })
said.keys = await every(iam.paginateListAccessKeys, 'AccessKeyMetadata', 'Status', alice)
said['inactive key'] = await error(sts.GetCallerIdentityCommand, {}, second)
await call(iam.DeleteAccessKeyCommand, { ...alice, AccessKeyId: second.AccessKeyId })
said['wrong secret'] = await error(sts.GetCallerIdentityCommand, {}, { ...key, SecretAccessKey: 'wrong' })
said['unknown key'] = await error(sts.GetCallerIdentityCommand, {}, { ...key, AccessKeyId: 'AKIAIOSFODNN7EXAMPLE' })
const { EXPIRED_KEY: AccessKeyId, EXPIRED_SECRET: SecretAccessKey, EXPIRED_TOKEN: SessionToken } = process.env
said.expired = await functions({ AccessKeyId, SecretAccessKey, SessionToken })

// Groups.
const team = { GroupName: `${name}-team` }
const readonly = { PolicyArn: 'arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess' }
await call(iam.CreateGroupCommand, { ...team, Path: path })
await call(iam.AddUserToGroupCommand, { ...team, ...alice })
said.group = await every(iam.paginateGetGroup, 'Users', 'UserName', team)
said.groups = await every(iam.paginateListGroupsForUser, 'Groups', 'GroupName', alice)
said["before the group's policy"] = await functions(key)
await call(iam.AttachGroupPolicyCommand, { ...team, ...readonly })
said["by the group's policy"] = await functions(key)
said['group in use'] = await error(iam.DeleteGroupCommand, team)

// Managed policies and their versions.
const created = await call(iam.CreatePolicyCommand, {
  PolicyName: `${name}-policy`, Path: path, Description: 'of a test', PolicyDocument: policy('Allow', 'lambda:ListFunctions', '*'),
})
const managed = { PolicyArn: created.Policy.Arn }
await wait(iam.waitUntilPolicyExists, managed)
said.policy = managed.PolicyArn
for (const action of ['GetFunction', 'GetPolicy', 'GetAlias', 'ListAliases']) {
  await call(iam.CreatePolicyVersionCommand, { ...managed, PolicyDocument: policy('Allow', `lambda:${action}`, '*') })
}
said['sixth version'] = await error(iam.CreatePolicyVersionCommand, { ...managed, PolicyDocument: policy('Allow', 'lambda:*', '*') })
said.versions = await every(iam.paginateListPolicyVersions, 'Versions', 'VersionId', managed)
await call(iam.SetDefaultPolicyVersionCommand, { ...managed, VersionId: 'v2' })
said.default = (await call(iam.GetPolicyCommand, managed)).Policy.DefaultVersionId
said.version = first((await call(iam.GetPolicyVersionCommand, { ...managed, VersionId: 'v2' })).PolicyVersion.Document).Action
await call(iam.SetDefaultPolicyVersionCommand, { ...managed, VersionId: 'v1' })
said['local policies'] = await every(iam.paginateListPolicies, 'Policies', 'PolicyName', { Scope: 'Local', PathPrefix: path })
const ofAWS = await every(iam.paginateListPolicies, 'Policies', 'PolicyName', { Scope: 'AWS' })
said['policies of AWS'] = String(ofAWS.split(',').includes('AdministratorAccess'))
said.malformed = await error(iam.CreatePolicyCommand, { PolicyName: `${name}-bad`, PolicyDocument: '{"Version": "2012-10-17"' })

// Roles.
const role = { RoleName: `${name}-role` }
said.role = (await call(iam.CreateRoleCommand, {
  ...role, Path: path, AssumeRolePolicyDocument: trust({ Service: 'lambda.amazonaws.com' }), MaxSessionDuration: 7200,
})).Role.Arn
await wait(iam.waitUntilRoleExists, role)
await call(iam.UpdateAssumeRolePolicyCommand, { ...role, PolicyDocument: trust({ AWS: said.user }) })
said.trusted = first((await call(iam.GetRoleCommand, role)).Role.AssumeRolePolicyDocument).Principal.AWS
said.roles = await every(iam.paginateListRoles, 'Roles', 'RoleName', { PathPrefix: path })
await call(iam.AttachRolePolicyCommand, { ...role, ...managed })
said.attached = await every(iam.paginateListAttachedRolePolicies, 'AttachedPolicies', 'PolicyName', role)
said['attached to'] = await every(iam.paginateListEntitiesForPolicy, 'PolicyRoles', 'RoleName', managed)
said['attached policies'] = await every(iam.paginateListPolicies, 'Policies', 'PolicyName', { OnlyAttached: true, PathPrefix: path })
await call(iam.PutRolePolicyCommand, { ...role, PolicyName: 'inline', PolicyDocument: policy('Allow', 'lambda:GetFunction', '*') })
said.inline = await every(iam.paginateListRolePolicies, 'PolicyNames', null, role)
said['inline policy'] = first((await call(iam.GetRolePolicyCommand, { ...role, PolicyName: 'inline' })).PolicyDocument).Action
said['role in use'] = await error(iam.DeleteRoleCommand, role)
said['policy in use'] = await error(iam.DeletePolicyCommand, managed)

// The account.
for (const alias of ['one', 'two']) await call(iam.CreateAccountAliasCommand, { AccountAlias: `${name}-${alias}` })
said.alias = await every(iam.paginateListAccountAliases, 'AccountAliases')
await call(iam.DeleteAccountAliasCommand, { AccountAlias: `${name}-two` })
said['no alias'] = await every(iam.paginateListAccountAliases, 'AccountAliases')
said["users' quota"] = String((await call(iam.GetAccountSummaryCommand)).SummaryMap.UsersQuota)
const details = await pages(iam.paginateGetAccountAuthorizationDetails, ['UserDetailList', 'RoleDetailList'], { Filter: ['User', 'Role'] }, 2)
said.details = [
  ...details.filter((d) => d.UserName === alice.UserName).flatMap((d) => d.GroupList),
  ...details.filter((d) => d.RoleName === role.RoleName).flatMap((d) => [...d.AttachedManagedPolicies, ...d.RolePolicyList]).map((p) => p.PolicyName),
].join()
while ((await call(iam.GenerateCredentialReportCommand)).State !== 'COMPLETE');
const report = Buffer.from((await call(iam.GetCredentialReportCommand)).Content).toString()
said.report = String(report.includes(`${alice.UserName},${said.user},`))
said['password policy'] = await error(iam.GetAccountPasswordPolicyCommand)
said.refused = await error(iam.CreateLoginProfileCommand, { ...alice, Password: 'x' })

// A user without rights assumes a role that has some.
await call(iam.DetachGroupPolicyCommand, { ...team, ...readonly })
await call(iam.RemoveUserFromGroupCommand, { ...team, ...alice })
await call(iam.DeleteGroupCommand, team)
said['without a role'] = await functions(key)
const assume = { RoleArn: said.role, RoleSessionName: 'session', DurationSeconds: 900 }
said['assume denied'] = await error(sts.AssumeRoleCommand, { ...assume, RoleArn: 'arn:aws:iam::000000000000:role/nobody' }, key)
await call(iam.PutUserPolicyCommand, { ...alice, PolicyName: 'assume', PolicyDocument: policy('Allow', 'sts:AssumeRole', said.role) })
const { Credentials: session } = await call(sts.AssumeRoleCommand, assume, key)
said.session = await who(session)
said['with a role'] = await functions(session)
said.token = await who((await call(sts.GetSessionTokenCommand, { DurationSeconds: 900 }, key)).Credentials)

// What is allowed, what nothing allows, and what is denied.
const named = 'arn:aws:lambda:us-east-1:000000000000:function:identities-'
await call(iam.PutUserPolicyCommand, { ...alice, PolicyName: 'invoke', PolicyDocument: document(
  { Effect: 'Allow', Action: 'lambda:InvokeFunction', Resource: [`${named}open`, `${named}shut`] },
  { Sid: 'Never', Effect: 'Deny', Action: 'lambda:InvokeFunction', Resource: `${named}shut` },
) })
said.allowed = Buffer.from((await invoke('identities-open', key)).Payload).toString()
said['not allowed'] = await refused(invoke('identities-other', key), true)
said.denied = await refused(invoke('identities-shut', key), true)
said['iam denied'] = await refused(call(iam.ListUsersCommand, {}, key), true)

// Everything goes.
await call(iam.DetachRolePolicyCommand, { ...role, ...managed })
await call(iam.DeleteRolePolicyCommand, { ...role, PolicyName: 'inline' })
await call(iam.DeleteRoleCommand, role)
said['role is gone'] = await error(iam.GetRoleCommand, role)
said['session of no role'] = await functions(session)
for (const VersionId of said.versions.split(',').filter((v) => v !== 'v1')) await call(iam.DeletePolicyVersionCommand, { ...managed, VersionId })
await call(iam.DeletePolicyCommand, managed)
for (const PolicyName of (await call(iam.ListUserPoliciesCommand, alice)).PolicyNames) await call(iam.DeleteUserPolicyCommand, { ...alice, PolicyName })
await call(iam.DeleteAccessKeyCommand, { ...alice, AccessKeyId: key.AccessKeyId })
await call(iam.DeleteUserCommand, alice)
said.left = await every(iam.paginateListUsers, 'Users', 'UserName', { PathPrefix: path })

console.log(JSON.stringify(said))
