//! A function that streams its answer in pieces, or breaks off in the middle.

use lambda_runtime::streaming::{channel, Body, Response};
use lambda_runtime::{run, service_fn, Error, LambdaEvent};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Response<Body>, Error> {
    let breaks = event.payload["break"].as_bool().unwrap_or(false);
    let pieces = event.payload["n"].as_u64().unwrap_or(3);
    let (mut tx, rx) = channel();
    tokio::spawn(async move {
        for i in 0..pieces {
            if tx.send_data(format!("piece {i}\n").into()).await.is_err() {
                return;
            }
        }
        if breaks {
            tx.abort();
        }
    });
    Ok(Response::from(rx))
}
