"""The part of a camera's image that shows the vehicle itself: given as a mask, or found as a still region."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import F64, Bool
from recon.drive import Camera, DriveLog, Image
from recon.errors import RoadscribeError
from recon.files import read_inside
from recon.sensors.image_file import decode_gray, decode_rgb

SAMPLES = 24
MIN_SAMPLES = 10  # with fewer images a bonnet cannot be told from a plain road
MIN_STEP_M = 2.0  # images of a vehicle that hardly moves show the same scene
STILL_STD = 3.0  # of 255 grey levels: noise and compression vary less, a passing scene more
EDGE_STEP = 12.0  # grey levels across the edge of a body in the mean image; a passing scene averages to a smooth one
MAX_SHARE = 0.35  # of the image; a larger region is a covered lens or a drive in the dark
MIN_SHARE = 0.002


def given_mask(drive: DriveLog, camera: Camera) -> Bool | None:
    """Return the (H, W) ego mask of the drive's files, or None; raises ImageInvalid for a damaged one."""
    if not camera.ego_mask:
        return None
    where = f"camera {camera.name}, {camera.ego_mask}"
    data = read_inside(drive.root, camera.ego_mask, where=where)
    return decode_gray(data, width_px=camera.width_px, height_px=camera.height_px, where=where) > 0


def find_mask(drive: DriveLog, camera: Camera) -> Bool | None:
    """Return the (H, W) mask of pixels that do not change while the vehicle moves, or None where that is uncertain."""
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
    """Return the still regions (H, W) that touch the bottom and end in a sharp edge, or None.

    A plain road without texture is still as well, but its region fades out, while a body has an edge in the mean image.
    """
    still = cv2.morphologyEx((std < STILL_STD).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels = cv2.connectedComponents(still, connectivity=4)
    slope = np.hypot(cv2.Sobel(mean, cv2.CV_64F, 1, 0), cv2.Sobel(mean, cv2.CV_64F, 0, 1)) / 4.0
    # The edge is blurred over a pixel or two, so the strongest step nearby counts.
    gradient = cv2.dilate(slope, np.ones((5, 5), np.uint8))
    result = np.zeros(still.shape, dtype=bool)
    for label in range(1, count):
        region = labels == label
        if not region[-1].any() or not MIN_SHARE <= region.mean() <= MAX_SHARE:
            continue
        edge = region & ~cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
        if edge.any() and float(np.median(gradient[edge])) >= EDGE_STEP:
            result |= region
    if not result.any():
        return None
    # Pixels at the edge mix body and road.
    return cv2.dilate(result.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
