"""One POST: to the checked address, under the name of the URL, without redirects, and ended in time."""

import shutil
import socket
import threading
import time

import httpcore
import pytest
from receiver import Receiver, certificate

from service.webhooks.addresses import AddressGuard, parse_networks
from service.webhooks.post import Poster, _Guarded

LOCAL = AddressGuard(parse_networks("127.0.0.0/8"))


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def raw_server():
    """Answer every connection with a function of its socket."""
    servers = []

    def start(answer):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                    with connection:
                        answer(connection)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_a_body_arrives_with_its_headers(receiver):
    outcome = Poster(LOCAL).post(receiver.url, {"webhook-id": "msg_1"}, b"body")
    assert (outcome.status, outcome.error) == (204, "")
    (one,) = receiver.received
    assert (one.path, one.body, one.headers["webhook-id"]) == ("/hook", b"body", "msg_1")
    assert one.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_an_address_that_is_not_allowed_is_not_connected_to(receiver):
    for url in (receiver.url, receiver.url.replace("http", "https")):
        outcome = Poster(AddressGuard()).post(url, {}, b"")
        assert (outcome.status, outcome.error) == (None, "the address is not allowed")
    assert receiver.received == []


def test_a_redirect_is_not_followed(receiver):
    other = Receiver()
    receiver.answer = lambda _: (307, {"Location": other.url})
    outcome = Poster(LOCAL).post(receiver.url, {}, b"")
    assert (outcome.status, outcome.error) == (307, "redirects are not followed")
    assert other.received == []
    other.stop()


def test_a_name_that_means_another_address_later_leads_to_the_checked_one(receiver, monkeypatch):
    resolved, genuine = [], socket.getaddrinfo

    def changing(host, port, *rest, **options):
        if host == "changing.example":
            resolved.append(host)
            address = "127.0.0.1" if len(resolved) == 1 else "127.0.0.2"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return genuine(host, port, *rest, **options)

    monkeypatch.setattr("socket.getaddrinfo", changing)
    guard = AddressGuard(parse_networks("127.0.0.1/32"))
    url = f"http://changing.example:{receiver.port}/"
    assert Poster(guard).post(url, {}, b"").status == 204
    assert resolved == ["changing.example"]  # once: what was checked is what was connected to
    assert receiver.received[0].headers["host"] == f"changing.example:{receiver.port}"
    assert Poster(guard).post(url, {}, b"").error == "the address is not allowed"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, which makes the certificate")
def test_the_certificate_must_be_that_of_the_name(tmp_path, monkeypatch):
    context, trusted = certificate(tmp_path, "localhost")
    receiver = Receiver(tls=context)
    by_name, by_address = f"https://localhost:{receiver.port}/", f"https://127.0.0.1:{receiver.port}/"
    assert "not valid" in Poster(LOCAL).post(by_name, {}, b"").error  # nobody vouches for it
    monkeypatch.setenv("SSL_CERT_FILE", trusted)
    assert Poster(LOCAL).post(by_name, {}, b"").status == 204
    assert "not valid" in Poster(LOCAL).post(by_address, {}, b"").error  # the address that was pinned is no name
    assert len(receiver.received) == 1
    receiver.stop()


@pytest.mark.slow
def test_an_answer_that_drips_ends_the_attempt(raw_server):
    def drip(connection):
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            connection.sendall(b"a")
            time.sleep(0.1)

    url, started = raw_server(drip), time.monotonic()
    outcome = Poster(LOCAL, longest_s=1.5).post(url, {}, b"x")
    assert (outcome.status, outcome.error) == (None, "no answer within 1.5 s")
    assert time.monotonic() - started >= 1.4


def test_the_body_of_an_answer_is_not_waited_for(raw_server):
    end = threading.Event()

    def endless(connection):
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 1000)
        end.wait(30)

    assert Poster(LOCAL).post(raw_server(endless), {}, b"x").status == 200
    end.set()


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000])
def test_an_answer_that_is_none_is_a_failure(raw_server, answer):
    def close_after(connection):
        connection.recv(1 << 16)
        connection.sendall(answer)

    outcome = Poster(LOCAL).post(raw_server(close_after), {}, b"x")
    assert outcome.status is None
    assert outcome.error.startswith("the connection failed")


def test_a_closed_port_and_an_unknown_name_are_failures(receiver):
    receiver.stop()
    assert Poster(LOCAL).post(receiver.url, {}, b"").error == "the connection failed: ConnectError"
    assert Poster(LOCAL).post("https://nobody.invalid/", {}, b"").error == "the name has no address"


def test_an_address_that_swallows_everything_leaves_time_for_the_next():
    class Guard:
        def resolve(self, host, port, *, plain):
            return ["2001:db8::1", "203.0.113.5"]

    tried = []

    class Network:
        def connect_tcp(self, address, port, timeout):
            tried.append((address, timeout))
            if ":" in address:
                raise httpcore.ConnectTimeout
            return "connected"

    backend = _Guarded(Guard(), time.monotonic() + 15.0, plain=False)
    backend._inner = Network()
    assert backend.connect_tcp("name.example", 443)._inner == "connected"
    assert [address for address, _ in tried] == ["2001:db8::1", "203.0.113.5"]
    assert tried[0][1] <= 7.5
