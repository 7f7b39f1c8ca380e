package lambda

// operation is one operation of the Lambda API, as its model has it: the
// method, and the path with its labels. A path with a query is for requests
// that have that in theirs.
type operation struct {
	name, method, path string
	// run carries the operation out and answers; labels are the values of the
	// path's labels, unescaped. An error means that nothing has been written.
	run func(s *server, c *call, labels []string) error
	// note says how it is carried out, or what to do instead.
	note string
}

// What to do instead of operations that Gust does not carry out.
const (
	useDeploy           = "declare the function in gust.yaml and deploy it with gust deploy; gust rm removes an app"
	useReserved         = "declare the function's concurrency.reserved in gust.yaml and deploy it"
	useProvisioned      = "declare the function's concurrency.provisioned in gust.yaml and deploy it"
	useRoutes           = "declare routes to the function in gust.yaml, which the gateway serves"
	useInvoke           = "call Invoke with the invocation type Event"
	noAccount           = "the node's limits are flags of gust up; gust ls shows what runs"
	noAliases           = "a function has no aliases in this version of Gust: the newest deploy answers"
	noVersions          = "a function keeps only its newest version in this version of Gust: GetFunction shows its number"
	noAsyncConfig       = "asynchronous events are tried three times within six hours, which cannot be set in this version of Gust"
	noSources           = "event sources are not part of this version of Gust"
	noLayers            = "layers have no versions of their own: declare them in gust.yaml under layers, list them in the functions, and deploy it"
	noPolicies          = "policies are not part of this version of Gust: the root key may do everything, others nothing"
	noTags              = "tags are not part of this version of Gust: the function's app and description say what it is for"
	noSigning           = "code signing is not part of Gust: artifacts are named by their SHA-256 and checked on every use"
	noCapacity          = "capacity providers are not part of Gust: the node's own resources are the capacity"
	noDurable           = "durable executions are not part of this version of Gust"
	noRecursion         = "recursive invocations are not looked for in this version of Gust"
	noRuntimeManagement = "a function is pinned to one build of its runtime, and nothing updates it but a deploy"
)

// operations is all that the Lambda API has (API version 2015-03-31, model of
// July 2026). What has run nil is refused by name.
var operations = []operation{
	{name: "Invoke", method: "POST", path: "/2015-03-31/functions/{FunctionName}/invocations", run: (*server).invoke,
		note: "RequestResponse (event and answer up to 6 MB), Event (up to 1 MB, kept before it is acknowledged), DryRun; LogType Tail; ClientContext; a function that streams is read to its end. X-Amz-Tenant-Id and X-Amz-Durable-Execution-Name are refused."},
	{name: "InvokeWithResponseStream", method: "POST", path: "/2021-11-15/functions/{FunctionName}/response-streaming-invocations", run: (*server).invokeStream,
		note: "RequestResponse (answer up to 200 MB) and DryRun; PayloadChunk as the function writes, InvokeComplete with ErrorCode, ErrorDetails and LogResult"},
	{name: "GetFunction", method: "GET", path: "/2015-03-31/functions/{FunctionName}", run: (*server).getFunction,
		note: "Configuration and Concurrency; there is no address to fetch the code from"},
	{name: "GetFunctionConfiguration", method: "GET", path: "/2015-03-31/functions/{FunctionName}/configuration", run: (*server).getFunctionConfiguration,
		note: "whole, for what a function has here"},
	{name: "GetFunctionConcurrency", method: "GET", path: "/2019-09-30/functions/{FunctionName}/concurrency", run: (*server).getFunctionConcurrency,
		note: "whole"},
	{name: "ListFunctions", method: "GET", path: "/2015-03-31/functions", run: (*server).listFunctions,
		note: "by name, 50 a page, Marker and MaxItems; FunctionVersion ALL lists the one version that each has; MasterRegion is refused"},

	{name: "GetLayerVersionByArn", method: "GET", path: "/2018-10-31/layers?find=LayerVersion", note: noLayers},
	{name: "ListProvisionedConcurrencyConfigs", method: "GET", path: "/2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL", note: useProvisioned},
	{name: "AddLayerVersionPermission", method: "POST", path: "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", note: noLayers},
	{name: "AddPermission", method: "POST", path: "/2015-03-31/functions/{FunctionName}/policy", note: noPolicies},
	{name: "CheckpointDurableExecution", method: "POST", path: "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint", note: noDurable},
	{name: "CreateAlias", method: "POST", path: "/2015-03-31/functions/{FunctionName}/aliases", note: noAliases},
	{name: "CreateCapacityProvider", method: "POST", path: "/2025-11-30/capacity-providers", note: noCapacity},
	{name: "CreateCodeSigningConfig", method: "POST", path: "/2020-04-22/code-signing-configs", note: noSigning},
	{name: "CreateEventSourceMapping", method: "POST", path: "/2015-03-31/event-source-mappings", note: noSources},
	{name: "CreateFunction", method: "POST", path: "/2015-03-31/functions", note: useDeploy},
	{name: "CreateFunctionUrlConfig", method: "POST", path: "/2021-10-31/functions/{FunctionName}/url", note: useRoutes},
	{name: "DeleteAlias", method: "DELETE", path: "/2015-03-31/functions/{FunctionName}/aliases/{Name}", note: noAliases},
	{name: "DeleteCapacityProvider", method: "DELETE", path: "/2025-11-30/capacity-providers/{CapacityProviderName}", note: noCapacity},
	{name: "DeleteCodeSigningConfig", method: "DELETE", path: "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", note: noSigning},
	{name: "DeleteEventSourceMapping", method: "DELETE", path: "/2015-03-31/event-source-mappings/{UUID}", note: noSources},
	{name: "DeleteFunction", method: "DELETE", path: "/2015-03-31/functions/{FunctionName}", note: useDeploy},
	{name: "DeleteFunctionCodeSigningConfig", method: "DELETE", path: "/2020-06-30/functions/{FunctionName}/code-signing-config", note: noSigning},
	{name: "DeleteFunctionConcurrency", method: "DELETE", path: "/2017-10-31/functions/{FunctionName}/concurrency", note: useReserved},
	{name: "DeleteFunctionEventInvokeConfig", method: "DELETE", path: "/2019-09-25/functions/{FunctionName}/event-invoke-config", note: noAsyncConfig},
	{name: "DeleteFunctionUrlConfig", method: "DELETE", path: "/2021-10-31/functions/{FunctionName}/url", note: useRoutes},
	{name: "DeleteLayerVersion", method: "DELETE", path: "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", note: noLayers},
	{name: "DeleteProvisionedConcurrencyConfig", method: "DELETE", path: "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", note: useProvisioned},
	{name: "DeleteResourcePolicy", method: "DELETE", path: "/2026-07-09/resource-policy/{ResourceArn}", note: noPolicies},
	{name: "GetAccountSettings", method: "GET", path: "/2016-08-19/account-settings", note: noAccount},
	{name: "GetAlias", method: "GET", path: "/2015-03-31/functions/{FunctionName}/aliases/{Name}", note: noAliases},
	{name: "GetCapacityProvider", method: "GET", path: "/2025-11-30/capacity-providers/{CapacityProviderName}", note: noCapacity},
	{name: "GetCodeSigningConfig", method: "GET", path: "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", note: noSigning},
	{name: "GetDurableExecution", method: "GET", path: "/2025-12-01/durable-executions/{DurableExecutionArn}", note: noDurable},
	{name: "GetDurableExecutionHistory", method: "GET", path: "/2025-12-01/durable-executions/{DurableExecutionArn}/history", note: noDurable},
	{name: "GetDurableExecutionState", method: "GET", path: "/2025-12-01/durable-executions/{DurableExecutionArn}/state", note: noDurable},
	{name: "GetEventSourceMapping", method: "GET", path: "/2015-03-31/event-source-mappings/{UUID}", note: noSources},
	{name: "GetFunctionCodeSigningConfig", method: "GET", path: "/2020-06-30/functions/{FunctionName}/code-signing-config", note: noSigning},
	{name: "GetFunctionEventInvokeConfig", method: "GET", path: "/2019-09-25/functions/{FunctionName}/event-invoke-config", note: noAsyncConfig},
	{name: "GetFunctionRecursionConfig", method: "GET", path: "/2024-08-31/functions/{FunctionName}/recursion-config", note: noRecursion},
	{name: "GetFunctionScalingConfig", method: "GET", path: "/2025-11-30/functions/{FunctionName}/function-scaling-config", note: noCapacity},
	{name: "GetFunctionUrlConfig", method: "GET", path: "/2021-10-31/functions/{FunctionName}/url", note: useRoutes},
	{name: "GetLayerVersion", method: "GET", path: "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", note: noLayers},
	{name: "GetLayerVersionPolicy", method: "GET", path: "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", note: noLayers},
	{name: "GetPolicy", method: "GET", path: "/2015-03-31/functions/{FunctionName}/policy", note: noPolicies},
	{name: "GetProvisionedConcurrencyConfig", method: "GET", path: "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", note: useProvisioned},
	{name: "GetResourcePolicy", method: "GET", path: "/2026-07-09/resource-policy/{ResourceArn}", note: noPolicies},
	{name: "GetRuntimeManagementConfig", method: "GET", path: "/2021-07-20/functions/{FunctionName}/runtime-management-config", note: noRuntimeManagement},
	{name: "InvokeAsync", method: "POST", path: "/2014-11-13/functions/{FunctionName}/invoke-async", note: useInvoke},
	{name: "ListAliases", method: "GET", path: "/2015-03-31/functions/{FunctionName}/aliases", note: noAliases},
	{name: "ListCapacityProviders", method: "GET", path: "/2025-11-30/capacity-providers", note: noCapacity},
	{name: "ListCodeSigningConfigs", method: "GET", path: "/2020-04-22/code-signing-configs", note: noSigning},
	{name: "ListDurableExecutionsByFunction", method: "GET", path: "/2025-12-01/functions/{FunctionName}/durable-executions", note: noDurable},
	{name: "ListEventSourceMappings", method: "GET", path: "/2015-03-31/event-source-mappings", note: noSources},
	{name: "ListFunctionEventInvokeConfigs", method: "GET", path: "/2019-09-25/functions/{FunctionName}/event-invoke-config/list", note: noAsyncConfig},
	{name: "ListFunctionUrlConfigs", method: "GET", path: "/2021-10-31/functions/{FunctionName}/urls", note: useRoutes},
	{name: "ListFunctionVersionsByCapacityProvider", method: "GET", path: "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions", note: noCapacity},
	{name: "ListFunctionsByCodeSigningConfig", method: "GET", path: "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions", note: noSigning},
	{name: "ListLayerVersions", method: "GET", path: "/2018-10-31/layers/{LayerName}/versions", note: noLayers},
	{name: "ListLayers", method: "GET", path: "/2018-10-31/layers", note: noLayers},
	{name: "ListTags", method: "GET", path: "/2017-03-31/tags/{Resource}", note: noTags},
	{name: "ListVersionsByFunction", method: "GET", path: "/2015-03-31/functions/{FunctionName}/versions", note: noVersions},
	{name: "PublishLayerVersion", method: "POST", path: "/2018-10-31/layers/{LayerName}/versions", note: noLayers},
	{name: "PublishVersion", method: "POST", path: "/2015-03-31/functions/{FunctionName}/versions", note: noVersions},
	{name: "PutFunctionCodeSigningConfig", method: "PUT", path: "/2020-06-30/functions/{FunctionName}/code-signing-config", note: noSigning},
	{name: "PutFunctionConcurrency", method: "PUT", path: "/2017-10-31/functions/{FunctionName}/concurrency", note: useReserved},
	{name: "PutFunctionEventInvokeConfig", method: "PUT", path: "/2019-09-25/functions/{FunctionName}/event-invoke-config", note: noAsyncConfig},
	{name: "PutFunctionRecursionConfig", method: "PUT", path: "/2024-08-31/functions/{FunctionName}/recursion-config", note: noRecursion},
	{name: "PutFunctionScalingConfig", method: "PUT", path: "/2025-11-30/functions/{FunctionName}/function-scaling-config", note: noCapacity},
	{name: "PutProvisionedConcurrencyConfig", method: "PUT", path: "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", note: useProvisioned},
	{name: "PutResourcePolicy", method: "PUT", path: "/2026-07-09/resource-policy/{ResourceArn}", note: noPolicies},
	{name: "PutRuntimeManagementConfig", method: "PUT", path: "/2021-07-20/functions/{FunctionName}/runtime-management-config", note: noRuntimeManagement},
	{name: "RemoveLayerVersionPermission", method: "DELETE", path: "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}", note: noLayers},
	{name: "RemovePermission", method: "DELETE", path: "/2015-03-31/functions/{FunctionName}/policy/{StatementId}", note: noPolicies},
	{name: "SendDurableExecutionCallbackFailure", method: "POST", path: "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail", note: noDurable},
	{name: "SendDurableExecutionCallbackHeartbeat", method: "POST", path: "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat", note: noDurable},
	{name: "SendDurableExecutionCallbackSuccess", method: "POST", path: "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed", note: noDurable},
	{name: "StopDurableExecution", method: "POST", path: "/2025-12-01/durable-executions/{DurableExecutionArn}/stop", note: noDurable},
	{name: "TagResource", method: "POST", path: "/2017-03-31/tags/{Resource}", note: noTags},
	{name: "UntagResource", method: "DELETE", path: "/2017-03-31/tags/{Resource}", note: noTags},
	{name: "UpdateAlias", method: "PUT", path: "/2015-03-31/functions/{FunctionName}/aliases/{Name}", note: noAliases},
	{name: "UpdateCapacityProvider", method: "PUT", path: "/2025-11-30/capacity-providers/{CapacityProviderName}", note: noCapacity},
	{name: "UpdateCodeSigningConfig", method: "PUT", path: "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", note: noSigning},
	{name: "UpdateEventSourceMapping", method: "PUT", path: "/2015-03-31/event-source-mappings/{UUID}", note: noSources},
	{name: "UpdateFunctionCode", method: "PUT", path: "/2015-03-31/functions/{FunctionName}/code", note: useDeploy},
	{name: "UpdateFunctionConfiguration", method: "PUT", path: "/2015-03-31/functions/{FunctionName}/configuration", note: useDeploy},
	{name: "UpdateFunctionEventInvokeConfig", method: "POST", path: "/2019-09-25/functions/{FunctionName}/event-invoke-config", note: noAsyncConfig},
	{name: "UpdateFunctionUrlConfig", method: "PUT", path: "/2021-10-31/functions/{FunctionName}/url", note: useRoutes},
}
