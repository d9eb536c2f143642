"""Numba kernels that find where a ray meets the ground and the solids."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import bilinear, fractal_noise
from recon.demo_city.numba_options import POINT
from recon.demo_city.scene.ground_kernels import RAISE_M, ground_lift
from recon.demo_city.scene.solid_columns import CENTER, HALF, KIND, LEAVES, MATERIAL, RADIUS, SEED, TAPER

FAR_M = 260.0
GROUND, SKY = -1, -2  # what a ray hits, besides the indices of solids
STEEPEST = 0.2  # bound on the slope of the land: a step of height / (fall + STEEPEST) never passes below it


@njit(**POINT, forceinline=True)
def _base_hit(ground, ox, oy, oz, dx, dy, dz):
    """Return the distance along a unit ray to the base surface, or infinity."""
    level = math.sqrt(dx * dx + dy * dy)
    closing = STEEPEST * level - dz
    if closing <= 1e-6:
        return np.inf
    tau = 0.0
    gap = oz - bilinear(ground.base_z, ground.raster, ox, oy)
    for _ in range(48):
        if gap < 0.0005:
            return tau
        step = tau + gap / closing
        if step > FAR_M:
            return np.inf
        next_gap = oz + step * dz - bilinear(ground.base_z, ground.raster, ox + step * dx, oy + step * dy)
        # The land is nearly flat: a secant through two points above it usually ends the search at once.
        if next_gap < gap:
            guess = step + next_gap * (step - tau) / (gap - next_gap)
            if step <= guess < FAR_M and guess < 2.0 * step + 10.0:
                miss = oz + guess * dz - bilinear(ground.base_z, ground.raster, ox + guess * dx, oy + guess * dy)
                if abs(miss) < 0.0005:
                    return guess
                if 0.0 < miss < next_gap:
                    step, next_gap = guess, miss
        tau, gap = step, next_gap
    return tau


@njit(**POINT, forceinline=True)
def _flatness(ground, x, y):
    size = ground.texel_m * 8.0
    c = math.floor((x - ground.tile_west_m) / size)
    r = math.floor((y - ground.tile_south_m) / size)
    if c < 0 or r < 0 or c >= ground.flat.shape[1] or r >= ground.flat.shape[0]:
        return 1
    return int(ground.flat[r, c])


@njit(**POINT, forceinline=True)
def ground_hit(ground, ox, oy, oz, dx, dy, dz):
    """Return the distance along a unit ray to the surface, kerbs included, or infinity."""
    below = _base_hit(ground, ox, oy, oz, dx, dy, dz)
    if below == np.inf:
        return below
    # Between the points where the ray passes kerb height and the base, both surfaces are nearly plane.
    level = math.sqrt(dx * dx + dy * dy)
    ahead = min(below, 0.25)
    x0 = ox + (below - ahead) * dx
    y0 = oy + (below - ahead) * dy
    gap = oz + (below - ahead) * dz - bilinear(ground.base_z, ground.raster, x0, y0)
    fall = max(gap / max(ahead, 1e-6), 0.004)  # metres of gap lost per metre of ray
    above = max(below - RAISE_M / fall, 0.0)
    # Raised land is at least two steps wide, so no step can miss it.
    count = min(max(math.ceil((below - above) * level / 0.15), 1), 32)
    low = above
    for i in range(count + 1):
        tau = above + (below - above) * i / count
        x = ox + tau * dx
        y = oy + tau * dy
        flat = _flatness(ground, x, y)
        if flat == 0:
            low = tau
            continue
        if flat == 1 and i == 0:
            miss = oz + above * dz - bilinear(ground.base_z, ground.raster, x, y) - RAISE_M
            return max(above + miss / fall, 0.0)
        if oz + tau * dz - bilinear(ground.base_z, ground.raster, x, y) <= ground_lift(ground, x, y):
            high = tau
            for _ in range(7):
                mid = 0.5 * (low + high)
                x = ox + mid * dx
                y = oy + mid * dy
                if oz + mid * dz - bilinear(ground.base_z, ground.raster, x, y) <= ground_lift(ground, x, y):
                    high = mid
                else:
                    low = mid
            return 0.5 * (low + high)
        low = tau
    return below


@njit(**POINT, forceinline=True)
def _box(ox, oy, oz, dx, dy, dz, front, back, side):
    """Return the distance to a tapered unit box and the number of its face, or infinity and -1."""
    near = 0.0
    far = np.inf
    face = -1
    a = 0.5 * front
    b = 0.5 * back
    c = 0.5 * side
    for k in range(6):
        if k == 0:
            gap, rate = 1.0 - a - ox - a * oz, dx + a * dz
        elif k == 1:
            gap, rate = 1.0 - b + ox - b * oz, b * dz - dx
        elif k == 2:
            gap, rate = 1.0 - c - oy - c * oz, dy + c * dz
        elif k == 3:
            gap, rate = 1.0 - c + oy - c * oz, c * dz - dy
        elif k == 4:
            gap, rate = 1.0 - oz, dz
        else:
            gap, rate = 1.0 + oz, -dz
        if rate > 1e-12:
            far = min(far, gap / rate)
        elif rate < -1e-12:
            if gap / rate > near:
                near = gap / rate
                face = k
        elif gap < 0.0:
            return np.inf, -1
        if near > far:
            return np.inf, -1
    if face < 0:
        return np.inf, -1
    return near, face


@njit(**POINT, forceinline=True)
def solid_hit(solids, i, ox, oy, oz, dx, dy, dz):
    """Return the distance along a ray to a solid and the face (boxes 0..5, cylinder 6 side, 7 caps), or infinity."""
    # The bounding sphere first, since it excludes most candidates.
    px = solids[i, CENTER + 0] - ox
    py = solids[i, CENTER + 1] - oy
    pz = solids[i, CENTER + 2] - oz
    along = px * dx + py * dy + pz * dz
    radius = solids[i, RADIUS]
    if px * px + py * py + pz * pz - along * along > radius * radius or along < -radius:
        return np.inf, -1
    lx = solids[i, 0] * ox + solids[i, 1] * oy + solids[i, 2] * oz + solids[i, 3]
    ly = solids[i, 4] * ox + solids[i, 5] * oy + solids[i, 6] * oz + solids[i, 7]
    lz = solids[i, 8] * ox + solids[i, 9] * oy + solids[i, 10] * oz + solids[i, 11]
    ex = solids[i, 0] * dx + solids[i, 1] * dy + solids[i, 2] * dz
    ey = solids[i, 4] * dx + solids[i, 5] * dy + solids[i, 6] * dz
    ez = solids[i, 8] * dx + solids[i, 9] * dy + solids[i, 10] * dz
    kind = int(solids[i, KIND])
    if kind == 0:
        return _box(lx, ly, lz, ex, ey, ez, solids[i, TAPER], solids[i, TAPER + 1], solids[i, TAPER + 2])
    if kind == 1:
        return _ellipsoid(solids, i, lx, ly, lz, ex, ey, ez)
    return _cylinder(lx, ly, lz, ex, ey, ez)


@njit(**POINT, forceinline=True)
def _ellipsoid(solids, i, lx, ly, lz, ex, ey, ez):
    qa = ex * ex + ey * ey + ez * ez
    qb = lx * ex + ly * ey + lz * ez
    qc = lx * lx + ly * ly + lz * lz - 1.0
    root = qb * qb - qa * qc
    if root <= 0.0:
        return np.inf, -1
    tau = (-qb - math.sqrt(root)) / qa
    if tau <= 0.0:
        return np.inf, -1
    if int(solids[i, MATERIAL]) == LEAVES:
        # Leaves are sparse near the outline, which makes the outline of a crown ragged.
        facing = math.sqrt(root / qa)
        x = lx + tau * ex
        y = ly + tau * ey
        z = lz + tau * ez
        u = (x * solids[i, HALF] + 1.7 * z * solids[i, HALF + 2]) * 2.4
        v = (y * solids[i, HALF + 1] - 0.6 * z * solids[i, HALF + 2]) * 2.4
        if facing < 0.75 * fractal_noise(u, v, int(solids[i, SEED])):
            return np.inf, -1
    return tau, 6


@njit(**POINT, forceinline=True)
def _cylinder(lx, ly, lz, ex, ey, ez):
    near, far = -np.inf, np.inf
    face = 6
    qa = ex * ex + ey * ey
    if qa > 1e-12:
        qb = lx * ex + ly * ey
        root = qb * qb - qa * (lx * lx + ly * ly - 1.0)
        if root <= 0.0:
            return np.inf, -1
        near = (-qb - math.sqrt(root)) / qa
        far = (-qb + math.sqrt(root)) / qa
    elif lx * lx + ly * ly > 1.0:
        return np.inf, -1
    if abs(ez) > 1e-12:
        first = (-1.0 - lz) / ez
        second = (1.0 - lz) / ez
        if first > second:
            first, second = second, first
        if first > near:
            near = first
            face = 7
        far = min(far, second)
    elif abs(lz) > 1.0:
        return np.inf, -1
    if near > far or near <= 0.0:
        return np.inf, -1
    return near, face


@njit(**POINT, forceinline=True)
def cast(ground, solids, candidates, count, ox, oy, oz, dx, dy, dz):
    """Return what a unit ray hits first (index of a solid, GROUND or SKY), the distance and the face.

    `candidates[:count]` are the solids that may be hit, nearest bounding sphere first.
    """
    tau = ground_hit(ground, ox, oy, oz, dx, dy, dz)
    owner = GROUND if tau < np.inf else SKY
    face = -1
    for k in range(count):
        i = candidates[k]
        px = solids[i, CENTER] - ox
        py = solids[i, CENTER + 1] - oy
        pz = solids[i, CENTER + 2] - oz
        if px * dx + py * dy + pz * dz - solids[i, RADIUS] > tau:
            continue
        hit, side = solid_hit(solids, i, ox, oy, oz, dx, dy, dz)
        if hit < tau:
            tau = hit
            owner = i
            face = side
    return owner, tau, face
