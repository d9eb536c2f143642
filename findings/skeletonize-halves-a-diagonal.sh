#!/usr/bin/env bash
# What: skimage.morphology.skeletonize halves a straight line two pixels wide, in one diagonal direction only.
# Version: scikit-image 0.26.0 (numpy 2.4.6, scipy 1.17.1), Python 3.11.
# Expected: a skeleton as long as the line, and the mirrored skeleton for the mirrored line. skeletonize promises
#   one-pixel representations of objects; a straight bar has one branch, from end to end.
# Happens: of a line over 160 rows that runs down to the right, about half of the rows remain: it is eaten from its
#   upper end. Its mirror image keeps all rows. The line one pixel or three pixels wide keeps all rows. thin() and
#   method="lee" keep them all.
# Follows: lane paint 10 to 20 cm wide on a raster of 10 cm cells is such a line. Who measures lengths or finds ends
#   on a skeleton loses half of a straight divider at one heading of the road, and nothing reports it. Use thin(), or
#   test that the skeleton commutes with mirroring.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 scipy==1.17.1 2>/dev/null
"$work/env/bin/python" - <<'PY'
import sys

import numpy as np
import skimage
from skimage.morphology import skeletonize, thin

print("scikit-image", skimage.__version__)


def rows_kept(image, method):
    return int(np.count_nonzero(method(image).any(axis=1)))


def bar(width_px, mirrored):
    image = np.zeros((200, 200), dtype=bool)
    along = np.arange(20, 180)  # 160 rows
    for k in range(width_px):
        image[along, along + k] = True
    return image[:, ::-1] if mirrored else image


kept = {}
for width_px in (1, 2, 3):
    for mirrored in (False, True):
        image = bar(width_px, mirrored)
        zhang, lee = rows_kept(image, skeletonize), rows_kept(image, lambda a: skeletonize(a, method="lee"))
        kept[width_px, mirrored] = zhang
        where = "down to the left " if mirrored else "down to the right"
        print(f"{width_px} px wide, {where}: skeletonize {zhang}, method lee {lee}, thin {rows_kept(image, thin)} of 160 rows")

halved = kept[2, False] < 100 and kept[2, True] > 155 and kept[1, False] == 160 and kept[3, False] > 155
print("as described" if halved else "changed")
sys.exit(0 if halved else 1)
PY
