"""One handler for whatever a test asks for."""

import decimal
import logging
import os
import sys
import time

logger = logging.getLogger("app")


class Refusal(Exception):
    pass


def handler(event, context):
    return globals()["do_" + event["do"]](event, context)


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


def do_unserialisable(event, context):
    return object()


def do_bytes(event, context):
    return b"\x00raw"


def do_decimal(event, context):
    return {"price": decimal.Decimal("1.10"), "many": [decimal.Decimal("12345678901234567890.123"), decimal.Decimal("NaN")]}


def do_exit(event, context):
    print("leaving", end="")
    sys.exit(event["status"])


def do_interrupt(event, context):
    raise KeyboardInterrupt


def do_context(event, context):
    client = context.client_context
    return {
        "repr": repr(context),
        "left": context.get_remaining_time_in_millis(),
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "title": client and client.client.app_title,
        "custom": client and client.custom,
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "cwd": os.getcwd(),
        "path": sys.path,
    }


def do_log(event, context):
    print("printed")
    print("no end", end="")
    print()
    logger.info("not shown")
    logger.warning("a %s", "message", extra={"order": 7})
    logger.error("two\nlines")
    logging.warning({"an": "object"})
    try:
        raise Refusal("twice")
    except Refusal:
        logger.exception("it failed")
    context.log("from the context\n")


def do_big(event, context):
    return "ü€" * event["n"]


def do_size(event, context):
    return len(event["text"])


def do_clock(event, context):
    return [time.localtime(0).tm_hour, os.environ.get("TZ"), os.environ.get("GUST_BOOT"), sorted(os.environ)]


def do_imports(event, context):
    return __import__(event["name"]).WHAT
