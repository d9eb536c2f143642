"""A receiver of webhooks: an HTTP server on this machine that keeps what it gets, and answers as it is told."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Runs until `stop`; `answer` returns the status, and the headers, of the next answer."""

    def __init__(self, answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda _: (204, {}), tls=None):
        self.received: list[Received] = []
        self.answer = answer
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                one = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                receiver.received.append(one)
                status, headers = receiver.answer(one)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that does not like the certificate

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def wait(self, count: int, limit_s: float = 30.0) -> list[Received]:
        """Return what came once there is so much of it."""
        deadline = time.monotonic() + limit_s
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} came"
            time.sleep(0.02)
        return list(self.received)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def certificate(folder, name: str) -> tuple[ssl.SSLContext, str]:
    """Return a server's TLS context with a certificate for `name`, signed by itself, and the certificate's path."""
    import subprocess

    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, str(cert)
