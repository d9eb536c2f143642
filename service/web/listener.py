"""The socket that the API listens on, and what uvicorn answers to bytes that are no request."""

from __future__ import annotations

import json
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from recon.errors import StorageError
from service.problems import PROBLEM_JSON, problem_body


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raises StorageError when the address is taken or not of this machine."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        hint = "Another service may use the port: choose one with --port, or 0 for any."
        raise StorageError(f"cannot listen: {error.strerror}", where=f"{host}:{port}", hint=hint) from error
    # A connection inherits it. asyncio sets it only where the socket names its protocol, which create_server leaves
    # out; without it the second packet of every answer waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Protocol(H11Protocol):
    """HTTP/1.1 whose refusal of malformed requests is a problem document, as every other refusal."""

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no request, and close."""
        body = json.dumps(problem_body(400, "REQUEST_MALFORMED", msg)).encode()
        headers = [("content-type", PROBLEM_JSON), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
