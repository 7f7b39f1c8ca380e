"""One connection to the Runtime API: a strict HTTP/1.1 client for the few requests that there are.

An answer and the question for the next event leave in one write.
"""

import sys

# Not socket, which loads five modules more and is five times as slow to import.
from _socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, socket

READ_SIZE = 64 << 10
MAX_HEAD = 256 << 10
INVOCATION = "/2018-06-01/runtime/invocation/"


class Connection:
    def __init__(self, address):
        """Connects to address, which is AWS_LAMBDA_RUNTIME_API."""
        self.address = address
        self.next = f"GET {INVOCATION}next HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        self.replies = 0  # that are to come, and say nothing that matters
        self._open()

    def _open(self):
        host, _, port = self.address.rpartition(":")
        self.sock = socket(AF_INET, SOCK_STREAM)
        self.sock.connect((host, int(port)))
        self.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self.rest = b""  # what was read of the reply after
        self.closing = False

    def ask(self):
        """Asks for an event, which event returns."""
        self.sock.sendall(self.next)

    def event(self):
        """Waits for the event that was asked for: its headers, names in lower case, and its body.

        A refused answer is the node's to report, and the event comes all the same.
        """
        while self.replies:
            self.replies -= 1
            self._reply()
            if self.closing:
                self.replies = 0
                self.sock.close()
                self._open()
                self.ask()
        headers, body = self._reply()
        if headers["status"] != "200":
            broken(body)
        return headers, body

    def answer(self, event, body, content_type="application/json"):
        """Sends an event's answer, bytes, and asks for the next."""
        head = f"{self._post(event, 'response')}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.replies += 1
        self.sock.sendall(b"".join((head.encode(), body, self.next)))

    def fail(self, event, kind, body):
        """Sends the error that an event ended with, and asks for the next."""
        self.replies += 1
        self.sock.sendall(b"".join((self._failure(self._post(event, "error"), kind, body), self.next)))

    def fail_init(self, kind, body):
        """Sends why the function did not come up, and waits until the node has it."""
        head = f"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {self.address}\r\n"
        self.sock.sendall(self._failure(head, kind, body))
        self._reply()

    def _post(self, event, what):
        head = f"POST {INVOCATION}{event['lambda-runtime-aws-request-id']}/{what} HTTP/1.1\r\nHost: {self.address}\r\n"
        if "lambda-runtime-invocation-id" in event:
            head += f"Lambda-Runtime-Invocation-Id: {event['lambda-runtime-invocation-id']}\r\n"
        return head

    def _failure(self, head, kind, body):
        kind = "".join(c if " " <= c <= "~" else "?" for c in kind[:255])
        head += "Content-Type: application/json\r\n"
        return f"{head}Lambda-Runtime-Function-Error-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def _reply(self):
        data = self.rest
        end = data.find(b"\r\n\r\n")
        while end < 0:
            if len(data) > MAX_HEAD:
                broken("a head of more than 256 KB")
            data += self._read()
            end = data.find(b"\r\n\r\n")
        status, *lines = data[:end].decode().split("\r\n")
        headers = {"status": status[9:12]}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "")
        if not status.startswith("HTTP/1.1 ") or not length.isdecimal():
            broken(status)
        if headers.get("connection") == "close":
            self.closing = True
        start = end + 4
        stop = start + int(length)
        if len(data) >= stop:
            self.rest = data[stop:]
            return headers, data[start:stop]
        body = bytearray(stop - start)
        body[: len(data) - start] = data[start:]
        view = memoryview(body)[len(data) - start :]
        while view:
            n = self.sock.recv_into(view)
            if not n:
                sys.exit(1)
            view = view[n:]
        self.rest = b""
        return headers, body

    def _read(self):
        data = self.sock.recv(READ_SIZE)
        if not data:
            sys.exit(1)  # nobody is there to work for
        return data


def broken(what):
    sys.exit(f"the Runtime API answered what it should not: {what}")
