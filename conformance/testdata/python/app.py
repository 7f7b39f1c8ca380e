"""A function of Python, run by awslambdaric. Its event says what it does."""

import json
import os
import sys


class Refusal(Exception):
    pass


def handler(event, context):
    do = event.get("do") if isinstance(event, dict) else None
    if do == "error":
        raise Refusal(event["text"])
    if do == "exit":
        os._exit(event["n"])
    if do == "exception":
        return {}["missing"]
    if do == "unserialisable":
        return {"set": {1, 2}}
    if do == "print":
        for i in range(event["n"]):
            print("a line of python", i)
        print("to standard error", file=sys.stderr)
        return None
    if do == "context":
        client = context.client_context
        return {
            "request_id": context.aws_request_id,
            "arn": context.invoked_function_arn,
            "left_ms": context.get_remaining_time_in_millis(),
            "function": context.function_name,
            "version": context.function_version,
            "memory": context.memory_limit_in_mb,
            "trace": os.environ.get("_X_AMZN_TRACE_ID"),
            "client": client.client.app_title if client else None,
            "python": sys.version.split()[0],
        }
    return {"event": event, "json": json.dumps(event)}
