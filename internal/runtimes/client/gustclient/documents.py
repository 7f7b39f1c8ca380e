"""Events, answers and errors as JSON, in the shapes of Lambda's runtime."""

import json
import math
import os
import sys

HERE = os.path.dirname(__file__)


class Fault(Exception):
    """What the runtime says of a function, in Lambda's words."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = f"Runtime.{kind}"
        self.message = message
        self.trace = trace


class _Encoder(json.JSONEncoder):
    """Writes decimals as the numbers that they are, with all their digits.

    The encoder in C takes no text for a number, so each leaves as a string that
    nobody else can know, and gets its digits afterwards.
    """

    def __init__(self):
        super().__init__(ensure_ascii=sys.version_info < (3, 12))
        self.digits = []
        self.mark = None

    def default(self, o):
        decimal = sys.modules.get("decimal")  # who has none cannot answer one
        if decimal is None or not isinstance(o, decimal.Decimal):
            return super().default(o)
        if o.is_nan():
            return math.nan
        if self.mark is None:
            self.mark = os.urandom(16).hex()
        self.digits.append(str(o))
        return self.mark

    def text(self, value):
        if self.digits:
            self.digits = []  # of an answer that failed
        text = self.encode(value)
        if self.digits:
            between = text.split(f'"{self.mark}"')
            text = "".join(part for pair in zip(between, self.digits + [""]) for part in pair)
        return text


_text = _Encoder().text


def load_event(body):
    try:
        return json.loads(body)
    except Exception as err:
        raise Fault("UnmarshalError", f"Unable to unmarshal input: {err}") from None


def dump_answer(value):
    """Returns an answer's bytes and content type; bytes go as they are."""
    if isinstance(value, bytes):
        return value, "application/unknown"
    try:
        return _text(value).encode(), "application/json"
    except Exception as err:
        raise Fault("MarshalError", f"Unable to marshal response: {err}") from None


def load_header(text, name):
    try:
        return json.loads(text)
    except Exception as err:
        raise Fault("LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {err}") from None


def describe(err, request_id=""):
    """Returns an error's document: message, type, and the stack below this client."""
    if isinstance(err, Fault):
        message, kind, trace = err.message, err.kind, err.trace or []
    else:
        import traceback

        frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(err.__traceback__)]
        while len(frames) > 1 and frames[0][0].startswith(HERE):
            del frames[0]
        message, kind, trace = str(err), type(err).__name__, traceback.format_list(frames)
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def dump_error(document):
    return json.dumps(document).encode()
