"""Centre lines of areas in an image: one pixel wide, as long as the area."""

from __future__ import annotations

import numpy as np
from skimage.morphology import thin

from recon.arrays import Bool


def centre_lines(mask: Bool) -> Bool:
    """Return the centre lines of a mask (H, W), thinned after Guo and Hall.

    The thinning of Zhang and Suen, scikit-image's `skeletonize`, takes half of a diagonal line two pixels wide
    (`findings/skeletonize-halves-a-diagonal.sh`).
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    result = np.zeros_like(mask)
    if rows.size:
        # Only the rows and columns that hold anything are thinned, with an empty pixel around them.
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        result[window] = thin(np.pad(mask[window], 1))[1:-1, 1:-1]  # type: ignore[no-untyped-call]
    return result
