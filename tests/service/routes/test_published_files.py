import hashlib
from base64 import b64encode
from hashlib import sha256

import pytest

from recon.errors import ArtifactInvalid


@pytest.fixture(scope="module")
def published(service):
    """Return the artifact entry of a finished job's larger file, and its bytes."""
    from service.client import Client

    with Client(service.url) as client:
        body = {"kind": "probe", "probe": {"size": 100_000, "salt": "files"}}
        job = client.job(client.submit(body)["id"], wait_s=30)
        entry = client.artifacts(job["id"])[1]
        return entry, client._http.get(entry["url"]).content


def test_whole_files_carry_their_digest(http, published):
    entry, data = published
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert len(data) == entry["size_bytes"]
    by_content = http.get(f"/v1/artifacts/{entry['sha256']}")
    assert by_content.content == data
    assert by_content.headers["ETag"] == f'"{entry["sha256"]}"'
    assert by_content.headers["Repr-Digest"] == f"sha-256=:{b64encode(sha256(data).digest()).decode()}:"
    assert http.head(entry["url"]).headers["Content-Length"] == str(len(data))


@pytest.mark.parametrize(
    ("ranges", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=50000-", 206, slice(50000, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=99999999-", 416, None),
    ],
)
def test_ranges(http, published, ranges, status, part):
    entry, data = published
    answer = http.get(entry["url"], headers={"Range": ranges})
    assert answer.status_code == status
    if part:
        assert answer.content == data[part]


def test_conditions(http, published):
    entry, data = published
    etag = f'"{entry["sha256"]}"'
    assert http.get(entry["url"], headers={"If-None-Match": etag}).status_code == 304
    assert http.get(entry["url"], headers={"If-None-Match": '"other"'}).status_code == 200
    same = http.get(entry["url"], headers={"Range": "bytes=0-3", "If-Range": etag})
    assert (same.status_code, same.content) == (206, data[:4])
    other = http.get(entry["url"], headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, data)


def test_only_named_files_are_served(http, published):
    job_path = published[0]["url"].rpartition("/")[0]
    for path in ("../../ledger.sqlite3", "..%2F..%2Fledger.sqlite3", "%2Fetc%2Fpasswd", "", "result.txt/.."):
        assert http.get(f"{job_path}/{path}").status_code == 404
    assert http.get("/v1/artifacts/" + "0" * 64).status_code == 404
    assert http.get("/v1/artifacts/..%2Fx").status_code in (404, 422)


def test_a_broken_download_continues_and_a_damaged_one_is_refused(client, published, tmp_path):
    entry, data = published
    target = tmp_path / "deep" / "result.txt"
    target.parent.mkdir()
    (target.parent / ".result.txt.part").write_bytes(data[:60_000])
    fetched = []
    client.download(entry, target, fetched.append)
    assert target.read_bytes() == data
    assert fetched[0] > 60_000
    (target.parent / ".result.txt.part").write_bytes(b"x" * 60_000)
    with pytest.raises(ArtifactInvalid):
        client.download(entry, target)
    assert target.read_bytes() == data
