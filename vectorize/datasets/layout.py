"""Where the files of a snapshot lie in it, in a folder as behind a URL."""

from __future__ import annotations

RECORD = "snapshot.json"  # names everything else by sha256; its own sha256 names the snapshot
SAMPLES = "samples.parquet"  # one row a sample: where it lies, its place and its split
CROISSANT = "croissant.json"  # the same for machines that know Croissant
PAGE = "README.md"  # how to train on it


def shard_path(sha256: str) -> str:
    """Return where a tar file lies."""
    return f"shards/{sha256}.tar"
