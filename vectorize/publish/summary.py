"""What a map holds, in numbers: elements, metres, scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from vectorize.polyline import length_of
from vectorize.road_map import RoadMap


def map_summary(road_map: RoadMap) -> dict[str, Any]:
    """Return elements, metres and mean score per class."""
    classes: dict[str, dict[str, Any]] = {}
    for name in ("divider", "boundary", "ped_crossing", "stop_line", "hatched"):
        elements = [e for e in road_map.elements if e.element_class == name]
        lengths = [length_of(e.vertices, closed=e.closed) for e in elements]
        styles = [e.style for e in elements]
        classes[name] = {
            "elements": len(elements),
            "length_m": round(sum(lengths), 2),
            "longest_m": round(max(lengths, default=0.0), 2),
            "score": round(float(np.average([e.score for e in elements], weights=lengths)), 4) if elements else 0.0,
        }
        if name == "divider":
            classes[name]["styles"] = {style: styles.count(style) for style in sorted(set(styles))}
    return {"classes": classes}
