"""Columns of the table of solids, one row each: numba passes one array far faster than a tuple of ten."""

from __future__ import annotations

# 0..11: local_from_world (3, 4), row by row; the solid fills -1..1 along every axis of its own frame
TAPER = 12  # how far the top of a box is drawn in at its front, back and sides, shares of the half extent
CENTER = 15  # world metres
RADIUS = 18  # of the bounding sphere
HALF = 19  # half extents, metres
COLOR = 22  # albedo
KIND, MATERIAL, CLASS_ID, SEED = 25, 26, 27, 28
COLUMNS = 29

BOX, ELLIPSOID, CYLINDER = 0, 1, 2
WALL, ROOF, CAR_BODY, CAR_CABIN, TYRE, LEAVES, BARK, METAL, LAMP, CLOTH, FENCE, BOXBODY = range(12)
