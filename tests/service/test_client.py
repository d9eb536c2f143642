"""The client when an answer is lost on its way: what was done is not done again, and not taken for a failure."""

import socket
import threading

import pytest

from service.client import Client, ServiceRefused, ServiceUnreachable


@pytest.fixture(scope="module")
def service(start_service, tmp_path_factory):
    service = start_service(tmp_path_factory.mktemp("service"), executor="none")
    yield service
    assert service.stop() == 0


@pytest.fixture
def losing(service):
    """Yield the URL of a way to the service on which the next `lost[0]` answers are lost, and `lost`."""
    server, lost = socket.create_server(("127.0.0.1", 0)), [0]
    target = service.port

    def carry(near):
        with near, socket.create_connection(("127.0.0.1", target)) as far:
            request = near.recv(1 << 16)
            while b"\r\n\r\n" not in request:
                request += near.recv(1 << 16)
            head, _, body = request.partition(b"\r\n\r\n")
            sizes = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line]
            while len(body) < sum(sizes):
                body += near.recv(1 << 16)
            far.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            answer = b""
            while data := far.recv(1 << 16):
                answer += data
            if lost[0]:
                lost[0] -= 1
            else:
                near.sendall(answer)

    def serve():
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            carry(near)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", lost
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def unlucky(losing):
    url, lost = losing
    with Client(url, retries=(0.01, 0.01)) as client:
        client.jobs()  # the way is open
        lost[0] = 1
        yield client


def test_a_webhook_is_not_registered_again_when_the_answer_is_lost(client, unlucky):
    """The secret is lost with the answer; a repetition would say that the webhook exists."""
    with pytest.raises(ServiceUnreachable):
        unlucky.create_webhook("https://1.1.1.1/lost")
    (made,) = client.webhooks()
    client.delete_webhook(made["id"])
    assert unlucky.create_webhook("https://1.1.1.1/lost")["secret"]
    client.delete_webhook(client.webhooks()[0]["id"])


def test_what_was_deleted_when_the_answer_was_lost_is_deleted(client, unlucky, losing, body):
    _, lost = losing
    job_id = client.cancel(client.submit(body())["id"])["id"]
    unlucky.delete(job_id)
    with pytest.raises(ServiceRefused):
        unlucky.delete(job_id)  # no answer was lost: there is no such job
    hook = client.create_webhook("https://1.1.1.1/lost")["id"]
    lost[0] = 1
    unlucky.delete_webhook(hook)
    assert client.webhooks() == []
    with pytest.raises(ServiceRefused):
        unlucky.delete_webhook(hook)
