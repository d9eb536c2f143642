"""The part of a camera's image that shows the vehicle itself: given by a mask, or found as what never changes."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import F64, Bool
from recon.drive import Camera, DriveLog, Image
from recon.errors import RoadscribeError
from recon.files import read_inside
from recon.sensors.image_file import decode_gray, decode_rgb

SAMPLES = 24
MIN_SAMPLES = 10  # fewer images cannot tell a bonnet from a dull road
MIN_STEP_M = 2.0  # images of a vehicle that hardly moves all look alike
STILL_STD = 3.0  # grey levels of 255: noise and compression, not a passing scene
RIM_STEP = 12.0  # grey levels across the rim of a body in the mean image; a passing scene averages smooth
MAX_SHARE = 0.35  # of the image; more is a covered lens or a drive in the dark
MIN_SHARE = 0.002


def given_mask(drive: DriveLog, camera: Camera) -> Bool | None:
    """Return the (H, W) ego mask that the drive brings, or None; raises ImageInvalid for a damaged one."""
    if not camera.ego_mask:
        return None
    where = f"camera {camera.name}, {camera.ego_mask}"
    data = read_inside(drive.root, camera.ego_mask, where=where)
    return decode_gray(data, width_px=camera.width_px, height_px=camera.height_px, where=where) > 0


def find_mask(drive: DriveLog, camera: Camera) -> Bool | None:
    """Return the (H, W) mask of pixels that stay while the vehicle moves, or None where that is not certain."""
    total: F64 = np.zeros((camera.height_px, camera.width_px))
    squares: F64 = np.zeros_like(total)
    count = 0
    for image in _spread(drive, camera.name):
        try:
            data = read_inside(drive.root, image.path, where=image.path)
            rgb = decode_rgb(data, width_px=camera.width_px, height_px=camera.height_px, where=image.path)
        except RoadscribeError:
            continue  # the stage itself reports images that do not decode
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float64)
        total += gray
        squares += gray * gray
        count += 1
    if count < MIN_SAMPLES:
        return None
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
    return still_region(mean, std)


def _spread(drive: DriveLog, camera: str) -> list[Image]:
    """Return up to SAMPLES images of a camera, evenly spread over the way and at least MIN_STEP_M apart."""
    images: list[Image] = []
    at_m: list[float] = []
    travelled_m, last_xy = 0.0, None
    for _, frame, image in drive.images():
        if image.camera != camera:
            continue
        xy = frame.pose_of(image)[:2, 3]
        travelled_m += 0.0 if last_xy is None else float(np.linalg.norm(xy - last_xy))
        last_xy = xy
        if not at_m or travelled_m - at_m[-1] >= MIN_STEP_M:
            images.append(image)
            at_m.append(travelled_m)
    chosen = np.unique(np.linspace(0, len(images) - 1, min(SAMPLES, len(images))).round().astype(int))
    return [images[i] for i in chosen]


def still_region(mean: F64, std: F64) -> Bool | None:
    """Return the still regions (H, W) that touch the bottom and end in a sharp rim, or None.

    A plain road without texture is still as well; but its region fades out, while a body's rim stays in the mean.
    """
    still = cv2.morphologyEx((std < STILL_STD).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents(still, connectivity=4)
    slope = np.hypot(cv2.Sobel(mean, cv2.CV_64F, 1, 0), cv2.Sobel(mean, cv2.CV_64F, 0, 1)) / 4.0
    # The rim is blurred over a pixel or two: the strongest step close by counts.
    gradient = cv2.dilate(slope, np.ones((5, 5), np.uint8))
    result = np.zeros(still.shape, dtype=bool)
    for label in range(1, count):
        region = labels == label
        if not region[-1].any() or not MIN_SHARE <= region.mean() <= MAX_SHARE:
            continue
        rim = region & ~cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
        if rim.any() and float(np.median(gradient[rim])) >= RIM_STEP:
            result |= region
    if not result.any():
        return None
    # Pixels at the rim mix body and road.
    return cv2.dilate(result.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
