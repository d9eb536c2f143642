import json
import os
import subprocess
import sys
import time

from service.logs import LineWriter


def test_a_stuck_reader_costs_lines_and_never_waits():
    read, write = os.pipe()
    writer = LineWriter(write, most_lines=10)
    writer.start()
    for number in range(3000):  # 64 KB of pipe hold fewer
        writer.write(f"{number:06d} " + "x" * 200)
    os.set_blocking(read, False)
    time.sleep(0.2)
    text, deadline = b"", time.monotonic() + 10
    while b"log.dropped" not in text:
        assert time.monotonic() < deadline
        try:
            text += os.read(read, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
            writer.write("again")
    writer.close()
    os.close(read)
    os.close(write)
    lines = text.decode().splitlines()
    dropped = [json.loads(line)["dropped"] for line in lines if "log.dropped" in line]
    assert dropped[0] > 2000


CODE = """
import sys, structlog, logging
from service import logs
logs.configure()
def handler(body, secret="key-" + "0123456789"):
    raise ValueError(body)
try:
    handler("b" * 1_000_000)
except ValueError as error:
    structlog.get_logger().error("request.bug", path="p" * 1_000_000, exc_info=error)
logging.getLogger("library").warning("said %s", "w" * 1_000_000)
"""


def test_a_line_is_short_and_holds_no_local_variables():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert [line["event"][:11] for line in lines] == ["request.bug", "said wwwwww"]
    assert "ValueError" in lines[0]["exception"]
    assert "key-0123456789" not in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 20_000
