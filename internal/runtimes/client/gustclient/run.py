"""From a handler's name to its function, and from one event to the next."""

import importlib
import os
import sys

from . import logs
from .context import LambdaContext
from .documents import Fault, describe, dump_answer, dump_error, load_event, load_header


def search_path(client):
    """Sets sys.path as on Lambda: the function's code, its layers, the interpreter's own. The client's folder is gone."""
    own = [p for p in sys.path if os.path.abspath(p) != client]
    layers = f"/opt/python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    sys.path[:] = [os.environ["LAMBDA_TASK_ROOT"], layers, "/opt/python", *own]
    importlib.invalidate_caches()


def find_handler(name):
    """Finds "folder/module.function". What it raises for the name's sake is a Fault."""
    module_name, dot, function = name.rpartition(".")
    if not dot:
        raise Fault("MalformedHandlerName", f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)")
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as err:
        raise Fault("ImportModuleError", f"Unable to import module '{module_name}': {err}") from err
    except SyntaxError as err:
        trace = [f'  File "{err.filename}" Line {err.lineno}\n    {err.text}']
        raise Fault("UserCodeSyntaxError", f"Syntax error in module '{module_name}': {err}", trace) from err
    try:
        return getattr(module, function)
    except AttributeError:
        raise Fault("HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'") from None


def run(connection):
    """Runs the function's handler on its events, and does not return."""
    logs.setup()
    try:
        handler = find_handler(os.environ["_HANDLER"])
    except Exception as err:
        document = describe(err)
        logs.log_error(document)
        connection.fail_init(document["errorType"], dump_error(document))
        sys.exit(1)
    connection.ask()
    while True:
        event, body = connection.event()
        invoke(connection, handler, event, body)


def invoke(connection, handler, event, body):
    request_id = logs.request_id = event["lambda-runtime-aws-request-id"]
    trace_id = event.get("lambda-runtime-trace-id")
    if trace_id is not None:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        answer, content_type = dump_answer(handler(load_event(body), context_of(event, request_id)))
    except Exception as err:
        document = describe(err, request_id)
        logs.log_error(document)
        flush()
        connection.fail(event, document["errorType"], dump_error(document))
        return
    flush()
    connection.answer(event, answer, content_type)


def context_of(event, request_id):
    client, identity = event.get("lambda-runtime-client-context"), event.get("lambda-runtime-cognito-identity")
    return LambdaContext(
        request_id,
        load_header(client, "Client Context") if client else None,
        load_header(identity, "Cognito Identity") if identity else None,
        int(event["lambda-runtime-deadline-ms"]),
        event.get("lambda-runtime-invoked-function-arn"),
    )


def flush():
    """What was printed without an end of line is in the log before the answer."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # the function has put something else there, or closed it
