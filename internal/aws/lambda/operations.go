package lambda

import (
	"slices"

	"github.com/gust-dev/gust/internal/access"
	"github.com/gust-dev/gust/internal/aws/wire"
)

// operations are those that Gust carries out.
func (s *server) operations() []wire.Operation {
	return []wire.Operation{
		{Name: "Invoke", Level: wire.Data, Run: wire.Do(s.invoke, func(in *InvocationRequest) []access.Need {
			return s.need("InvokeFunction", in.FunctionName, in.Qualifier)
		}),
			Note: "RequestResponse (event and answer up to 6 MB), Event (up to 1 MB, kept before it is acknowledged), DryRun; LogType Tail; ClientContext; a function that streams is read to its end. X-Amz-Tenant-Id and X-Amz-Durable-Execution-Name are refused."},
		{Name: "InvokeWithResponseStream", Level: wire.Data, Run: wire.Do(s.invokeStream, func(in *InvokeWithResponseStreamRequest) []access.Need {
			return s.need("InvokeFunction", in.FunctionName, in.Qualifier)
		}),
			Note: "RequestResponse (answer up to 200 MB) and DryRun; PayloadChunk as the function writes, InvokeComplete with ErrorCode, ErrorDetails and LogResult"},
		{Name: "GetFunction", Level: wire.Read, Run: wire.Do(s.getFunction, func(in *GetFunctionRequest) []access.Need {
			return s.need("GetFunction", in.FunctionName, in.Qualifier)
		}),
			Note: "Configuration and Concurrency; there is no address to fetch the code from"},
		{Name: "GetFunctionConfiguration", Level: wire.Read, Run: wire.Do(s.getFunctionConfiguration, func(in *GetFunctionConfigurationRequest) []access.Need {
			return s.need("GetFunctionConfiguration", in.FunctionName, in.Qualifier)
		}),
			Note: "whole, for what a function has here"},
		{Name: "GetFunctionConcurrency", Level: wire.Read, Run: wire.Do(s.getFunctionConcurrency, func(in *GetFunctionConcurrencyRequest) []access.Need {
			return s.need("GetFunctionConcurrency", in.FunctionName, nil)
		}),
			Note: "whole"},
		{Name: "ListFunctions", Level: wire.Read, Run: wire.Do(s.listFunctions, func(*ListFunctionsRequest) []access.Need {
			return []access.Need{{Action: "lambda:ListFunctions", Resource: "*"}}
		}),
			Note: "by name, 50 a page, Marker and MaxItems; FunctionVersion ALL lists the one version that each has; MasterRegion is refused"},
		{Name: "AddPermission", Level: wire.Write, Run: wire.Do(s.addPermission, func(in *AddPermissionRequest) []access.Need {
			needs := s.need("AddPermission", in.FunctionName, in.Qualifier)
			needs[0].Keys = map[string][]string{"lambda:principal": {in.Principal}}
			return needs
		}),
			Note: "a statement by StatementId, Action, Principal, SourceArn and SourceAccount; RevisionId; FunctionUrlAuthType, InvokedViaFunctionUrl, EventSourceToken and PrincipalOrgID are refused"},
		{Name: "GetPolicy", Level: wire.Read, Run: wire.Do(s.getPolicy, func(in *GetPolicyRequest) []access.Need {
			return s.need("GetPolicy", in.FunctionName, in.Qualifier)
		}),
			Note: "whole"},
		{Name: "RemovePermission", Level: wire.Write, Run: wire.Do(s.removePermission, func(in *RemovePermissionRequest) []access.Need {
			return s.need("RemovePermission", in.FunctionName, in.Qualifier)
		}),
			Note: "whole"},
	}
}

// refused are those that it does not, and what to do instead.
var refused = slices.Concat(
	wire.Refuse("layers have no versions of their own: declare them in gust.yaml under layers, list them in the functions, and deploy it",
		"AddLayerVersionPermission", "DeleteLayerVersion", "GetLayerVersion", "GetLayerVersionByArn", "GetLayerVersionPolicy",
		"ListLayerVersions", "ListLayers", "PublishLayerVersion", "RemoveLayerVersionPermission"),
	wire.Refuse("declare the function's concurrency.provisioned in gust.yaml and deploy it",
		"DeleteProvisionedConcurrencyConfig", "GetProvisionedConcurrencyConfig", "ListProvisionedConcurrencyConfigs",
		"PutProvisionedConcurrencyConfig"),
	wire.Refuse("a function's policy is made statement by statement: call AddPermission, RemovePermission and GetPolicy",
		"DeleteResourcePolicy", "GetResourcePolicy", "PutResourcePolicy"),
	wire.Refuse("durable executions are not part of this version of Gust",
		"CheckpointDurableExecution", "DeleteDurableExecution", "GetDurableExecution", "GetDurableExecutionHistory",
		"GetDurableExecutionState", "ListDurableExecutionsByFunction", "PauseDurableExecution", "ResumeDurableExecution",
		"SendDurableExecutionCallbackFailure", "SendDurableExecutionCallbackHeartbeat", "SendDurableExecutionCallbackSuccess",
		"StopDurableExecution"),
	wire.Refuse("a function has no aliases in this version of Gust: the newest deploy answers",
		"CreateAlias", "DeleteAlias", "GetAlias", "ListAliases", "UpdateAlias"),
	wire.Refuse("capacity providers are not part of Gust: the node's own resources are the capacity",
		"CreateCapacityProvider", "DeleteCapacityProvider", "GetCapacityProvider", "GetFunctionScalingConfig",
		"ListCapacityProviders", "ListFunctionVersionsByCapacityProvider", "PutFunctionScalingConfig", "UpdateCapacityProvider"),
	wire.Refuse("code signing is not part of Gust: artifacts are named by their SHA-256 and checked on every use",
		"CreateCodeSigningConfig", "DeleteCodeSigningConfig", "DeleteFunctionCodeSigningConfig", "GetCodeSigningConfig",
		"GetFunctionCodeSigningConfig", "ListCodeSigningConfigs", "ListFunctionsByCodeSigningConfig",
		"PutFunctionCodeSigningConfig", "UpdateCodeSigningConfig"),
	wire.Refuse("event sources are not part of this version of Gust",
		"CreateEventSourceMapping", "DeleteEventSourceMapping", "GetEventSourceMapping", "ListEventSourceMappings",
		"UpdateEventSourceMapping"),
	wire.Refuse("declare the function in gust.yaml and deploy it with gust deploy; gust rm removes an app",
		"CreateFunction", "DeleteFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration"),
	wire.Refuse("declare routes to the function in gust.yaml, which the gateway serves",
		"CreateFunctionUrlConfig", "DeleteFunctionUrlConfig", "GetFunctionUrlConfig", "ListFunctionUrlConfigs",
		"UpdateFunctionUrlConfig"),
	wire.Refuse("declare the function's concurrency.reserved in gust.yaml and deploy it",
		"DeleteFunctionConcurrency", "PutFunctionConcurrency"),
	wire.Refuse("asynchronous events are tried three times within six hours, which cannot be set in this version of Gust",
		"DeleteFunctionEventInvokeConfig", "GetFunctionEventInvokeConfig", "ListFunctionEventInvokeConfigs",
		"PutFunctionEventInvokeConfig", "UpdateFunctionEventInvokeConfig"),
	wire.Refuse("the node's limits are flags of gust up; gust ls shows what runs",
		"GetAccountSettings"),
	wire.Refuse("recursive invocations are not looked for in this version of Gust",
		"GetFunctionRecursionConfig", "PutFunctionRecursionConfig"),
	wire.Refuse("a function is pinned to one build of its runtime, and nothing updates it but a deploy",
		"GetRuntimeManagementConfig", "PutRuntimeManagementConfig"),
	wire.Refuse("call Invoke with the invocation type Event",
		"InvokeAsync"),
	wire.Refuse("tags are not part of this version of Gust: the function's app and description say what it is for",
		"ListTags", "TagResource", "UntagResource"),
	wire.Refuse("a function keeps only its newest version in this version of Gust: GetFunction shows its number",
		"ListVersionsByFunction", "PublishVersion"),
)
