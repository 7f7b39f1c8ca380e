"""The same module under the vendor's client and under Gust's own."""

import decimal
import os
import sys


class Refusal(Exception):
    pass


def handler(event, context):
    return globals()["do_" + event.get("do", "hello")](event, context)


def do_hello(event, context):
    return {"statusCode": 200, "body": "hello"}


def do_echo(event, context):
    return event["value"]


def do_nothing(event, context):
    pass


def do_throws(event, context):
    raise Refusal("not me")


def do_chained(event, context):
    try:
        {}["a"]
    except KeyError as err:
        raise Refusal("because") from err


def do_silent(event, context):
    raise Refusal


def do_unserialisable(event, context):
    return object()


def do_decimal(event, context):
    return {"price": decimal.Decimal("1.10"), "many": [decimal.Decimal("12345678901234567890.123"), 1e100, (1, 2)]}


def do_exit(event, context):
    sys.exit(event["n"])


def do_context(event, context):
    return {
        "names": sorted(n for n in dir(context) if not n.startswith("_")),
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "group": context.log_group_name,
        "left": context.get_remaining_time_in_millis() > 0,
        "id": len(context.aws_request_id),
        "trace": len(os.environ["_X_AMZN_TRACE_ID"].split(";")),
        "cwd": os.getcwd(),
        "client": repr(context.client_context),
        "identity": repr(context.identity),
        "arn": context.invoked_function_arn.split(":")[:6],
        "first": sys.path[0],
    }
