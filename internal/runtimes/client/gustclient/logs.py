"""The root logger: one record a line, with time, request and level, as JSON or in Lambda's text format.

The node takes level, time and request out of JSON, which is why it is what functions have by default.
"""

import json
import os
import sys
import time
from importlib.machinery import PathFinder

request_id = None  # of the invocation that runs
_as_json = False
_out = sys.stdout


def prepare():
    """A line that is printed leaves at once, in one write."""
    sys.stdout.reconfigure(line_buffering=True)


def setup():
    """Gives the root logger its handler, as the environment's variables say.

    Loading logging is a third of a plain start: it is left to functions that log.
    """
    global _as_json
    _as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    if "logging" in sys.modules:
        _setup_root()
    else:
        sys.meta_path.insert(0, _Later())


class _Later:
    """Sets the root logger up as soon as logging has been loaded."""

    def find_spec(self, name, path, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        loader, load = spec.loader, spec.loader.exec_module

        def exec_module(module):
            del loader.exec_module
            load(module)
            _setup_root()

        loader.exec_module = exec_module
        return spec


def _setup_root():
    import logging

    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = {"TRACE": "DEBUG"}.get(level, level)
    formatter, handler = _classes(logging)
    logging.Formatter.converter = time.gmtime
    root = logging.getLogger()
    if level in logging._nameToLevel:
        root.setLevel(level)
    lambda_handler = handler()
    if _as_json:
        lambda_handler.setFormatter(formatter())
    else:
        lambda_handler.setFormatter(logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"))  # fmt: skip
    root.addHandler(lambda_handler)


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _classes(logging):
    # What a record has of its own is not shown again.
    known = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "aws_request_id", "exc_text"}

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            level = min(50, max(0, record.levelno)) // 10 * 10
            fields = {
                "timestamp": timestamp(record.created),
                "level": logging.getLevelName(level),
                "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info and record.exc_info[0]:
                import traceback

                kind, err, tb = record.exc_info
                fields["stackTrace"] = traceback.format_tb(tb)
                fields["errorType"] = kind.__name__
                fields["errorMessage"] = str(err)
            fields["requestId"] = record.aws_request_id
            if record.exc_info:
                fields["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
            for key, value in record.__dict__.items():
                if key not in known and key not in fields:
                    fields[key] = value
            return _encode({k: v for k, v in fields.items() if v is not None})

    class LambdaLoggerHandler(logging.Handler):
        def __init__(self):
            super().__init__()
            self.addFilter(self.identify)

        @staticmethod
        def identify(record):
            record.aws_request_id = request_id or ""
            return True

        def emit(self, record):
            try:
                write(self.format(record))
            except Exception:
                self.handleError(record)

    return JsonFormatter, LambdaLoggerHandler


def timestamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def write(text):
    """Writes one record. What is on several lines stays together: it ends them as Lambda's does."""
    _out.write(text.replace("\n", "\r") + "\n")
    _out.flush()


def log_error(document):
    """Tells of an error that ended an invocation, or the process."""
    if _as_json:
        write(_encode({"timestamp": timestamp(time.time()), "level": "ERROR", **document}))
        return
    kind, message = document["errorType"], document["errorMessage"]
    lines = [f"[ERROR] {kind}{': ' + message if message else ''}", "Traceback (most recent call last):"]
    for entry in document["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    write("\n".join(lines))
