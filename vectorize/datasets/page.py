"""The page of a snapshot: what it holds, and how to train on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vectorize.datasets.config import SPLITS

_FOLDER = "FOLDER"  # a copy of a snapshot does not know where it lies


def page(summary: Mapping[str, Any], address: str = _FOLDER) -> str:
    """Return Markdown; `address` is where the snapshot can be opened: a URL, or this folder."""
    lines = [
        f"# {summary['dataset']}",
        "",
        f"Snapshot `{summary['sha256']}`. It never changes.",
        "",
        "| split | samples | drives | places | known | confidence |",
        "|---|---|---|---|---|---|",
    ]
    for name in SPLITS:
        one = summary["totals"][name]
        shown = [one["samples"], one["drives"], one["places"], _share(one["coverage"]), _share(one["confidence"])]
        lines.append(f"| {name} | {' | '.join(map(str, shown))} |")
    size_mb, patch = summary["size_bytes"] / 1e6, summary["patch"]
    images = "with" if summary["images"] else "without"
    lines += [
        "",
        f"{summary['shards']} shards, {size_mb:.1f} MB, {images} images. A patch is {patch['length_m']:g} x "
        f"{patch['width_m']:g} m. Splits show different ground, and a place keeps its split in later snapshots.",
        "",
        "## Train on it",
        "",
        "```",
        f"roadscribe train CONFIG.toml run --data {address} --validation {address}",
        "```",
        "",
        "In a loop of your own:",
        "",
        "```python",
        "from roadscribe import ShardDataset",
        "",
        f'samples = ShardDataset("{address}", split="train")',
        "for sample in samples:",
        '    print(sample.key, sample.known.mean(), len(sample.record["vectors"]))',
        "```",
        "",
    ]
    if address == _FOLDER:
        lines += [f"{_FOLDER} is the folder that holds this file, also on S3.", ""]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
