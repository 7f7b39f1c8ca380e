"""Calls functions by boto3, which takes everything from the environment."""

import json

import boto3
from botocore.config import Config

client = boto3.client("lambda", config=Config(retries={"max_attempts": 0}))
result = {}

out = client.invoke(FunctionName="go-handler", Payload=json.dumps({"from": "boto3"}, separators=(",", ":")))
result["status"] = out["StatusCode"]
result["answer"] = out["Payload"].read().decode()

out = client.invoke(FunctionName="go-handler", Payload=json.dumps({"do": "error", "text": "no answer"}))
result["error"] = out["FunctionError"] + ": " + json.loads(out["Payload"].read())["errorMessage"]

out = client.invoke_with_response_stream(FunctionName="go-stream", Payload=json.dumps({"n": 50}))
result["stream"] = b"".join(
    event["PayloadChunk"]["Payload"] for event in out["EventStream"] if "PayloadChunk" in event
).decode()

try:
    client.invoke(FunctionName="nobody")
except client.exceptions.ResourceNotFoundException as e:
    result["missing"] = e.response["Error"]["Code"]

print(json.dumps(result))
