#!/usr/bin/env bash
# What: cv2.projectPoints places rays from far outside a lens's field inside the image, and says nothing.
# Version: opencv-python-headless 5.0.0.93 (numpy 2.4.6), Python 3.11.
# Expected: a point that the lens cannot see projects outside the image, or comes back as NaN.
# Happens: a radial polynomial with a negative k1 grows, turns over at the fold and comes back. For a common wide lens,
#   a point 60 degrees off the axis gets the column of a point 10 degrees off it, in the middle of the image. The caller
#   cannot tell the two apart.
# Follows: who colours ground, or asks "which image sees this cell", by projecting and testing the image's bounds, gives
#   cells beside the vehicle the pixels of the road ahead. Find the fold first: the smallest root of the derivative of
#   r (1 + k1 r^2 + k2 r^4 + k3 r^6), and drop rays beyond it.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6 2>/dev/null
"$work/env/bin/python" - <<'PY'
import sys

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
width, height, focal = 1280, 720, 640.0
k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
distortion = np.array([-0.3, 0.0, 0.0, 0.0])  # k1, k2, p1, p2: a barrel distortion as calibrations state it
fold_deg = np.degrees(np.arctan(1 / np.sqrt(3 * 0.3)))  # where d/dr of r (1 + k1 r^2) is zero
print(f"the polynomial turns over {fold_deg:.1f} degrees off the axis")


def column(angle_deg):
    point = np.array([[[np.tan(np.radians(angle_deg)), 0.0, 1.0]]])
    pixel, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), k, distortion)
    return float(pixel[0, 0, 0])


angles = [0, 10, 20, 30, 40, 46, 50, 55, 58, 60, 61]
columns = [column(angle) for angle in angles]
for angle, at in zip(angles, columns, strict=True):
    print(f"{angle:2d} degrees off the axis: column {at:7.1f} of {width}, {'inside' if 0 <= at < width else 'outside'}")
beyond = [at for angle, at in zip(angles, columns, strict=True) if angle > fold_deg + 5]
wrong = all(np.isfinite(beyond)) and all(0 <= at < width for at in beyond)
print("as described" if wrong else "changed")
sys.exit(0 if wrong else 1)
PY
