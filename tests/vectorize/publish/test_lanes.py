import numpy as np
import pytest

from vectorize.publish.lanes import lane_summary
from vectorize.road_map import Element, RoadMap


def divider(points: np.ndarray, *, confidence: float = 0.9) -> Element:
    count = len(points)
    return Element(
        element_class="divider",
        vertices=points.astype(np.float64),
        seen=np.ones(count, bool),
        confidence=np.full(count, confidence, np.float32),
        score=confidence,
        style="solid",
    )


def arc(radius: float) -> np.ndarray:
    angle = np.linspace(0.0, 1.0, 60)
    return np.c_[radius * np.cos(angle), radius * np.sin(angle)]


def test_widths_of_concentric_lanes() -> None:
    road = RoadMap(elements=(divider(arc(100.0)), divider(arc(103.5)), divider(arc(106.5), confidence=0.2)))
    summary = lane_summary(road)
    assert [d["length_m"] for d in summary["dividers"]] == pytest.approx([106.5, 103.5, 100.0], abs=0.1)
    assert [d["sure_m"] for d in summary["dividers"]] == pytest.approx([0.0, 103.5, 100.0], abs=0.1)
    widths = {tuple(lane["between"]): lane for lane in summary["lanes"]}
    assert set(widths) == {(0, 1), (1, 2)}  # never across a neighbour
    assert widths[0, 1]["median_m"] == pytest.approx(3.0, abs=0.02)
    assert widths[1, 2]["median_m"] == pytest.approx(3.5, abs=0.02)
    assert widths[1, 2]["max_m"] - widths[1, 2]["min_m"] < 0.05
    assert summary["divider_crossings"] == 0


def test_crossing_dividers_are_counted_and_are_no_lane() -> None:
    road = RoadMap(elements=(divider(np.array([[0, 0], [40, 0]])), divider(np.array([[10, -10], [30, 10]]))))
    summary = lane_summary(road)
    assert summary["divider_crossings"] == 1
    assert summary["lanes"] == []


def test_a_map_without_dividers() -> None:
    assert lane_summary(RoadMap(elements=())) == {"dividers": [], "lanes": [], "divider_crossings": 0}


def test_a_lane_of_a_rural_road_is_five_metres_wide_and_two_lanes_are_no_lane() -> None:
    road = [divider(np.array([[0.0, y], [40.0, y]])) for y in (0.0, 5.2, 12.2)]
    lanes = lane_summary(RoadMap(elements=tuple(road)))["lanes"]
    assert [(lane["between"], lane["median_m"]) for lane in lanes] == [([0, 1], 5.2)]
