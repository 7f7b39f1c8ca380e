"""Gust's runtime client for Python: it finds a function's handler and runs it on the events of the Runtime API.

../DESIGN.md says how it is started; what functions see is Lambda's, as docs/PYTHON.md tells.
"""

import os
import sys

from gustclient import logs
from gustclient.api import Connection
from gustclient.run import run, search_path

CLIENT = os.path.dirname(os.path.abspath(__file__))


def warm():
    """Loads ahead what every function needs, and what most do."""
    import asyncio, base64, concurrent.futures, dataclasses, datetime, decimal, email.parser, enum, functools  # noqa: E401
    import hashlib, http.client, importlib.metadata, logging, pathlib, random, re, socket, ssl, tempfile  # noqa: E401
    import threading, traceback, typing, urllib.parse, urllib.request, uuid  # noqa: E401
    import gc

    gc.collect()
    gc.freeze()  # none of it is garbage, ever


def bind(fd, address):
    """Waits until it is known for which function this process is, and becomes that function's."""
    import json
    import time

    os.write(fd, b"1")
    document = b""
    while part := os.read(fd, 64 << 10):
        document += part
    os.close(fd)
    if not document:
        sys.exit(0)  # nobody wants it
    os.environ.clear()
    os.environ.update(json.loads(document)["env"])
    os.environ.setdefault("AWS_LAMBDA_RUNTIME_API", address)
    time.tzset()
    os.chdir(os.environ["LAMBDA_TASK_ROOT"])


def main():
    logs.prepare()
    boot, address = os.environ.get("GUST_BOOT"), os.environ["AWS_LAMBDA_RUNTIME_API"]
    if boot is not None:
        warm()
    connection = Connection(address)
    if boot is not None:
        bind(int(boot), address)
    search_path(CLIENT)
    run(connection)


if __name__ == "__main__":
    main()
