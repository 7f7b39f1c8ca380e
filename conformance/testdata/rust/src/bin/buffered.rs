//! A function written with lambda_runtime. Its event says what it does.

use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde_json::{json, Value};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (payload, context) = event.into_parts();
    match payload["do"].as_str() {
        Some("error") => Err("no answer".into()),
        Some("panic") => panic!("for good"),
        Some("exit") => std::process::exit(7),
        Some("print") => {
            println!("a line of rust");
            Ok(Value::Null)
        }
        Some("context") => Ok(json!({
            "request_id": context.request_id,
            "arn": context.invoked_function_arn,
            "deadline_ms": context.deadline,
            "trace": context.xray_trace_id,
            "client": context.client_context,
            "function": context.env_config.function_name,
            "memory": context.env_config.memory,
            "version": context.env_config.version,
        })),
        _ => Ok(json!({ "event": payload })),
    }
}
