"""The description of a snapshot in Croissant, the vocabulary of data sets for machine learning (JSON-LD).

Source: MLCommons, "Croissant Format Specification", version 1.0.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from vectorize.datasets.config import SPLITS
from vectorize.datasets.layout import SAMPLES
from vectorize.datasets.snapshot import COLUMNS, Snapshot

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {pa.string(): "sc:Text", pa.int64(): "cr:Int64", pa.float64(): "cr:Float64"}
_MEANING = {
    "key": "name of the sample, the stem of its members in the tar file",
    "shard": "sha256 of the tar file",
    "offset": "first byte of the sample in the tar file",
    "size": "bytes of the sample in the tar file",
    "drive": "name of the drive",
    "frame": "number of the keyframe in the drive",
    "time_ns": "time of the keyframe in nanoseconds",
    "x_m": "position of the vehicle in the drive's world, metres east",
    "y_m": "position of the vehicle in the drive's world, metres north",
    "place": "cell of about 100 m that holds the vehicle",
    "split": "the split of the place",
    "coverage": "share of the patch that is known",
    "confidence": "mean confidence of the labels' vertices",
}


def croissant(snapshot: Snapshot) -> dict[str, Any]:
    """Return the JSON-LD document of a snapshot; URLs are relative to it."""
    samples = snapshot.record["samples"]
    files = [_file(SAMPLES, SAMPLES, samples["sha256"], samples["size_bytes"], "application/x-parquet")]
    for one in snapshot.shards.values():
        files.append(_file(one.sha256, one.path, one.sha256, one.size_bytes, "application/x-tar"))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": snapshot.dataset,
        "description": "Vector-map labels of keyframes with masks of what is known, as WebDataset shards.",
        "version": "1.0.0",
        "identifier": f"sha256:{snapshot.sha256}",
        "distribution": files,
        "recordSet": [_splits(), _samples()],
    }


def _file(name: str, path: str, sha256: str, size_bytes: int, encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": path,
        "contentSize": f"{size_bytes} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _splits() -> dict[str, Any]:
    name = {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [name],
        "data": [{"splits/name": split} for split in SPLITS],
    }


def _samples() -> dict[str, Any]:
    fields = []
    for column in COLUMNS:
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"samples/{column.name}",
            "name": column.name,
            "description": _MEANING.get(column.name, f"elements of the class {column.name}"),
            "dataType": _TYPES[column.type],
            "source": {"fileObject": {"@id": SAMPLES}, "extract": {"column": column.name}},
        }
        if column.name == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    return {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}
