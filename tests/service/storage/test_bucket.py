"""Published files by content: the same on a local disk and on S3."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import obstore
import pytest
from s3_server import s3_server

from recon.errors import ArtifactDamaged, ConfigInvalid, StorageError
from service.storage.bucket import Bucket, mark_path, object_path


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def bucket(request, tmp_path, monkeypatch):
    if request.param == "file":
        yield Bucket(f"file://{tmp_path / 'published'}")
    else:
        with s3_server(monkeypatch) as url:
            yield Bucket(url)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(256)) * 100)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_created_once_and_comes_back(bucket, file, tmp_path):
    path, sha256 = file
    assert bucket.put_new(path, sha256) == object_path(sha256)
    before = list(bucket.entries("objects"))
    assert bucket.put_new(path, sha256) == object_path(sha256)
    assert list(bucket.entries("objects")) == before
    assert bucket.fetch(sha256, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_many_writers_of_one_file_leave_one_object(bucket, file):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: bucket.put_new(*file), range(16)))
    assert [entry.path for entry in bucket.entries("objects")] == [object_path(file[1])]


def test_an_object_shares_no_bytes_with_its_source(bucket, file, tmp_path):
    path, sha256 = file
    bucket.put_new(path, sha256)
    with path.open("r+b") as stream:
        stream.write(b"damage")
    assert bucket.fetch(sha256, tmp_path / "back")


def test_a_damaged_object_is_not_fetched_and_gives_way(bucket, file, tmp_path):
    path, sha256 = file
    obstore.put(bucket._store, object_path(sha256), b"damage", use_multipart=False)
    assert not bucket.fetch(sha256, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    bucket.put_new(path, sha256)
    assert bucket.fetch(sha256, tmp_path / "back")


def test_a_damaged_file_is_not_published(bucket, file):
    path, sha256 = file
    path.write_bytes(b"damage")
    with pytest.raises(ArtifactDamaged):
        bucket.put_new(path, sha256)
    assert list(bucket.entries("objects")) == []


def test_a_condemned_object_that_is_published_is_so_no_more(bucket, file):
    path, sha256 = file
    bucket.put_new(path, sha256)
    bucket.put_mark(mark_path(sha256))
    assert bucket.entry(mark_path(sha256)).path == mark_path(sha256)
    bucket.put_new(path, sha256)
    assert bucket.entry(mark_path(sha256)) is None


def test_an_object_that_is_deleted_while_it_is_published_is_put_again(bucket, file, tmp_path, monkeypatch):
    path, sha256 = file
    bucket.put_new(path, sha256)
    digest, times = bucket._digest, []

    def late(of):
        times.append(of)
        if len(times) == 1:
            bucket.delete(of)
        return digest(of)

    monkeypatch.setattr(bucket, "_digest", late)
    bucket.put_new(path, sha256)
    assert bucket.fetch(sha256, tmp_path / "back")


def test_what_is_not_there_is_not_fetched(bucket, tmp_path):
    assert not bucket.fetch("0" * 64, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    empty = hashlib.sha256(b"").hexdigest()
    assert not bucket.fetch(empty, tmp_path / "back")


def test_a_mark_keeps_its_date(bucket):
    bucket.put_mark("condemned/a")
    (before,) = bucket.entries("condemned")
    bucket.put_mark("condemned/a")
    assert list(bucket.entries("condemned")) == [before]
    bucket.delete("condemned/a")
    bucket.delete("condemned/a")
    assert list(bucket.entries("condemned")) == []


def test_other_places_are_refused():
    for url in ("http://host/x", "/folder", "memory:///", "gs://bucket"):
        with pytest.raises(ConfigInvalid):
            Bucket(url)


@pytest.mark.slow
def test_a_bucket_that_does_not_answer_is_a_storage_error(file, monkeypatch):
    with s3_server(monkeypatch) as url:
        bucket = Bucket(url.replace("published", "unknown"))
        with pytest.raises(StorageError):
            bucket.put_new(*file)
