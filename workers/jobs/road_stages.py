"""The stages that make labels of drives, as a job of one trip has them; a job of several trips renames them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from recon.config import FitConfig, SegmentConfig
from vectorize.config import PackConfig
from workers.stage import Stage, same

GPU_SHARE = 0.5  # net and surfels take a few GB each: two stages share a GPU

# The modules of which the stage segment uses one. The code and the libraries of the others are no part of its key.
CHOOSER = "recon.segment.segment"
BACKENDS = {
    "id_images": "recon.segment.id_images",
    "openvino": "recon.segment.openvino_net",
    "mask2former": "recon.segment.mask2former",
    "mmseg": "recon.segment.mmsegmentation.mmseg",
}
ON_CPU = ("id_images", "openvino")  # back ends that compute without PyTorch

INGEST = Stage(name="ingest", function="workers.stages.ingest:ingest", kind="DriveLog", cached=False)
SEGMENT = Stage(
    name="segment",
    function="workers.stages.segment:segment",
    parents=same("ingest"),
    config="segment",
    kind="FrameLabels",
    resumes=True,
)
FIT = Stage(
    name="fit",
    function="workers.stages.fit:fit",
    parents=same("ingest", "segment"),
    config="fit",
    kind="RoadSurface",
    resumes=True,
)
BAKE = Stage(name="bake", function="workers.stages.bake:bake", parents=same("fit"), config="bake", kind="BevMap")
TRACE = Stage(
    name="trace",
    function="workers.stages.trace:trace",
    parents=same("ingest", "bake"),
    config="trace",
    kind="RoadMap",
)
CROP = Stage(
    name="crop",
    function="workers.stages.crop:crop",
    parents=same("ingest", "fit", "bake", "trace"),
    config="crop",
    kind="LabelSet",
)
PACK = Stage(
    name="pack", function="workers.stages.pack:pack", parents=same("ingest", "fit", "crop"), config="pack", kind="Shard"
)
DRAW = Stage(
    name="draw",
    function="workers.stages.draw:draw",
    parents=same("ingest", "segment", "fit", "bake", "trace", "crop"),
    kind="Publication",
)


def segment_stage(config: SegmentConfig) -> Stage:
    """Return the stage segment with its device, its share of a GPU, and the back ends it does not use."""
    used = {config.backend, *([config.movables.backend] if config.movables else [])}
    unused = tuple(f"{CHOOSER}:{module}" for name, module in BACKENDS.items() if name not in used)
    if used <= set(ON_CPU):
        return replace(SEGMENT, unused=unused)
    gpus = 0.0 if config.device == "cpu" else GPU_SHARE
    return replace(SEGMENT, unused=unused, device=config.device, gpus=gpus)


def fit_stage(config: FitConfig) -> Stage:
    """Return the stage fit with its renderer and its share of a GPU."""
    gpus = 0.0 if config.renderer in ("cpu", "reference") else GPU_SHARE
    return replace(FIT, renderer=config.renderer, gpus=gpus)


def pack_stage(config: PackConfig, parents: Mapping[str, str], segment: str = "segment") -> Stage:
    """Return the stage pack of a trip: only shards with class ids depend on the labelled images themselves."""
    return replace(PACK, parents={**parents, **({"segment": segment} if config.with_ids else {})})
