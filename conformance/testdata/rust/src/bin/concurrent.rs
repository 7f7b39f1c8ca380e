//! A function that takes several events at once, and answers each when as many
//! are there.

use std::sync::Arc;

use lambda_runtime::{run_concurrent, service_fn, Error, LambdaEvent};
use serde_json::{json, Value};
use tokio::sync::Barrier;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let max = std::env::var("AWS_LAMBDA_MAX_CONCURRENCY").unwrap_or_else(|_| "1".into());
    let barrier = Arc::new(Barrier::new(max.parse()?));
    run_concurrent(service_fn(move |event: LambdaEvent<Value>| {
        let barrier = barrier.clone();
        let max = max.clone();
        async move {
            if event.payload["wait"].as_bool().unwrap_or(false) {
                barrier.wait().await;
            }
            Ok::<Value, Error>(json!({
                "pid": std::process::id(),
                "max": max,
                "request_id": event.context.request_id,
            }))
        }
    }))
    .await
}
