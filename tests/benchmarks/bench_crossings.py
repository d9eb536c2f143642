"""Measure how the time to find crossings grows with the image: 400 of them on 4, 9 and 16 million cells.

The cost of an area must not grow with the whole image: a mask of the image for each of 400 areas would take several
seconds on 4 million cells.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "worlds"))

from crosswalk_field import crosswalk_field

from vectorize.trace.crossings.crosswalk import find_crossings
from vectorize.trace_config import TraceConfig

AREAS_A_SIDE = 20


def main() -> None:
    """Print the seconds of CPU for each size."""
    for side in (100, 150, 200):
        evidence = crosswalk_field(AREAS_A_SIDE, (side, side))
        start = time.process_time()
        found = find_crossings(evidence, TraceConfig())
        seconds = time.process_time() - start
        print(f"{evidence.known.size / 1e6:.0f} million cells: {len(found)} crossings, {seconds:.2f} s of CPU")


if __name__ == "__main__":
    main()
