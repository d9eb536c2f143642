#!/usr/bin/env bash
# What: one Origin(lat, lon, alt) gives three different local frames in lanelet2's projectors.
# Version: lanelet2 1.2.3 (wheel of PyPI), Python 3.11.
# Expected: a projector made from an origin maps that place to (0, 0, 0). The choice of projector changes how distances
#   stretch with distance, and nothing else.
# Happens: UtmProjector ignores the origin's altitude, so heights are those of the file. LocalCartesianProjector subtracts
#   it, and its plane leaves the ground by 0.7 m at 3 km. UtmProjector's y axis is grid north: 3 km straight north is
#   22 m aside. MercatorProjector ignores the place of the origin: it takes the scale from it, and maps the origin to
#   millions of metres.
# Follows: a map written by one and read by another moves by the altitude of the town (110 m here) and by metres in the
#   plane. No error is raised. Two tools that "use the same origin" do not share a frame: state the projector with the
#   origin, and check one point in the far corner.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lanelet2==1.2.3 2>/dev/null
cd "$work"
"$work/env/bin/python" - <<'PY'
import sys
from importlib.metadata import version

from lanelet2.core import LaneletMap, LineString3d, Point3d, getId
from lanelet2.io import Origin, load, write
from lanelet2.projection import LocalCartesianProjector, MercatorProjector, UtmProjector

print("lanelet2", version("lanelet2"))
ORIGIN = Origin(49.01, 8.43, 110.0)

# Points at the origin, on the ground 110 m above the ellipsoid, and 3 km north of it.
written = LaneletMap()
written.add(LineString3d(getId(), [Point3d(getId(), 0, 0, 0), Point3d(getId(), 0, 3000, 0)]))
write("map.osm", written, LocalCartesianProjector(ORIGIN))

read = {}
for projector in (LocalCartesianProjector, UtmProjector, MercatorProjector):
    line = next(iter(load("map.osm", projector(ORIGIN)).lineStringLayer))
    read[projector.__name__] = [(round(p.x, 2), round(p.y, 2), round(p.z, 2)) for p in line]
    print(f"{projector.__name__:24} reads the origin as {read[projector.__name__][0]}, 3 km north as {read[projector.__name__][1]}")

utm, mercator, local = (read[k] for k in ("UtmProjector", "MercatorProjector", "LocalCartesianProjector"))
as_described = (
    max(map(abs, local[0])) < 0.01
    and abs(utm[0][2] - 110.0) < 0.01  # the altitude stays in z
    and abs(utm[1][0]) > 20.0  # grid north is not north
    and abs(mercator[0][1]) > 1e6  # the origin is not the zero of the frame
)
print("as described" if as_described else "changed")
sys.exit(0 if as_described else 1)
PY
