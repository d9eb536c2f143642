"""The net that is shipped: found by its name alone, small, and good on streets that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.classes import RoadClass
from recon.config import SegmentConfig
from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CityConfig
from recon.segment.checkpoint import MODEL_FILE, SHIPPED_NETS, find_checkpoint, shipped_net
from training.segmenter.sources import open_source
from workers.jobs.label import LabelJob


def test_a_bare_name_stands_for_the_shipped_net() -> None:
    assert find_checkpoint("demo_city", allow_download=False) == SHIPPED_NETS / "demo_city"


@pytest.mark.parametrize(
    "weights", ["", ".", "..", "./demo_city", "x/demo_city", "/demo_city", "no_such_net", "x" * 300, "\0"]
)
def test_nothing_else_does(weights: str) -> None:
    assert shipped_net(weights) is None


def test_the_shipped_net_needs_no_root_and_a_path_does() -> None:
    shipped = LabelJob(drive="d", segment=SegmentConfig(backend="mask2former", weights="demo_city"))
    assert shipped.input_paths() == {"/drive": "d"}
    own = LabelJob(drive="d", segment=SegmentConfig(backend="mask2former", weights="./demo_city"))
    assert own.input_paths()["/segment/weights"] == "./demo_city"
    other = LabelJob(drive="d", segment=SegmentConfig(backend="openvino", weights="demo_city"))
    assert other.input_paths()["/segment/weights"] == "demo_city"


def test_it_is_small_and_has_a_card() -> None:
    folder = SHIPPED_NETS / "demo_city"
    assert (folder / MODEL_FILE).stat().st_size <= 12_000_000
    assert "synthetic" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["day", "night"])
def test_it_knows_unseen_streets(tmp_path: Path, condition: str) -> None:
    from recon.segment.mask2former import Mask2Former
    from training.segmenter.score import score_of, spread

    drive = tmp_path / f"city-{condition}"
    city = CityConfig(seed=6001, condition=condition, frames=2, spacing_m=20.0, with_lidar=False)  # type: ignore[arg-type]
    write_demo_drive(drive, city)
    segmenter = Mask2Former(SegmentConfig(backend="mask2former", weights="demo_city", device="cpu"))
    iou = score_of(segmenter, spread([open_source(drive)], 12))[""].iou()
    # Floors that a broken net or a broken path to it misses by far; its figures are in its model card.
    assert iou[RoadClass.ROAD] > 0.85
    assert iou[RoadClass.LANE_MARKING] > 0.4
