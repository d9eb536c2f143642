"""Draws the figure of the pipeline: one small real picture per stage, taken from a labelled drive of the demo city.

Usage: python tests/benchmarks/draw_pipeline.py [--work FOLDER] [--to docs/pictures/pipeline.svg]
A drive and its labels that are already in FOLDER are used as they are.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import subprocess
import tarfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from recon.artifact import read
from recon.bev.bev_map import BevMap
from recon.classes import COLORS_RGB, RoadClass
from recon.drive import DriveLog
from vectorize.road_map import RoadMap

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

FRAME, CAMERA = 4, "CAM_FRONT"
# Units of the drawing. README shows it about 800 px wide, so that 3 units are 2 px.
WIDTH, MARGIN, GAP = 1200, 14, 44
PANEL_W = (WIDTH - 2 * MARGIN - 2 * GAP) // 3
LENGTH_M, WIDTH_M = 60.0, 30.0  # of the label's patch, which panels 3 to 5 show
PANEL_H = round(PANEL_W * WIDTH_M / LENGTH_M)
TITLE_H, NOTE_H, ROW_GAP = 38, 54, 46
INK, SOFT, LINE = "#1c2430", "#566173", "#2f6fd0"
ON_LIGHT = {"divider": "#c98f00", "boundary": "#dc3a3a", "ped_crossing": "#2277d4", "stop_line": "#1f9e4a"}
ON_DARK = {"divider": "#ffcd00", "boundary": "#ff5050", "ped_crossing": "#46aaff", "stop_line": "#3ce66e"}
FONT = "font-family=\"'Segoe UI','Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif\""


def make_result(work: Path) -> tuple[Path, Path]:
    """Return the drive and its labels, made with the command line where they are missing."""
    drive, out = work / "drive", work / "out"
    if not (drive / "drive.json").is_file():
        city = ["--frames", "12", "--width", "640", "--height", "360", "--no-lidar"]
        subprocess.run(["roadscribe", "city", str(drive), *city], check=True)
    if not (out / "report.json").is_file():
        net = ["--segmenter", "mask2former", "--weights", "demo_city"]
        subprocess.run(["roadscribe", "label", str(drive), str(out), *net], check=True)
    return drive, out


def artifact(out: Path, stage: str) -> Path:
    """Return the folder of the one artifact that a stage left in a result."""
    (folder,) = (out / ".roadscribe" / "store" / "objects" / stage).iterdir()
    return folder


def ground_panel(raster: U8, bev: BevMap, world_from_ego: F64) -> U8:
    """Return a raster of the site as the label's patch shows it: forward to the right, unseen ground hatched."""
    grid, px_per_m = bev.grid, 2 * PANEL_W / LENGTH_M
    # From panel pixels to ego metres to world metres to cells; warpAffine puts pixel centres at whole numbers.
    ego = np.array([[1 / px_per_m, 0, -LENGTH_M / 2], [0, -1 / px_per_m, WIDTH_M / 2], [0, 0, 1]])
    world = np.eye(3)
    world[:2, :2], world[:2, 2] = world_from_ego[:2, :2], world_from_ego[:2, 3]
    cell = np.array([[1, 0, -grid.west_m], [0, -1, grid.north_m]]) / grid.cell_m
    cell[:, 2] -= 0.5
    matrix = cell @ world @ ego
    size, inverse = (2 * PANEL_W, 2 * PANEL_H), cv2.WARP_INVERSE_MAP
    picture = cv2.warpAffine(raster, matrix, size, flags=cv2.INTER_LINEAR | inverse)
    seen = cv2.warpAffine(bev.seen.astype(np.uint8), matrix, size, flags=cv2.INTER_NEAREST | inverse) > 0
    column, row = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    hatch = np.where(((column + row) % 16 < 3)[..., None], (60, 54, 50), (30, 26, 24))
    return np.where(seen[..., None], picture, hatch).astype(np.uint8)


def map_svg(road_map: RoadMap, ego_from_world: F64, x: float, y: float) -> str:
    """Return the map's lines over the patch as SVG, with a dark rim so that they stand out on any ground."""
    parts = []
    for element in road_map.elements:
        points = element.vertices[:, :2] @ ego_from_world[:2, :2].T + ego_from_world[:2, 3]
        parts.append(shape_svg(points, element.element_class, element.style, element.closed, x, y, rim="#14171c"))
    return "".join(parts)


def shape_svg(points: F64, name: str, style: str, closed: bool, x: float, y: float, *, rim: str = "") -> str:
    """Return one element as SVG; `points` (N, 2) are x forward, y left in metres."""
    scale = PANEL_W / LENGTH_M
    places = [f"{x + (px + LENGTH_M / 2) * scale:.1f},{y + (WIDTH_M / 2 - py) * scale:.1f}" for px, py in points]
    tag = "polygon" if closed else "polyline"
    shape = f'<{tag} points="{" ".join(places)}" fill="none" stroke-linejoin="round"'
    dash = ' stroke-dasharray="9 6"' if style == "dashed" else ""
    color = (ON_DARK if rim else ON_LIGHT)[name]
    under = f'{shape} stroke="{rim}" stroke-width="6.5"{dash}/>' if rim else ""
    return f'{under}{shape} stroke="{color}" stroke-width="4"{dash}/>'


def pictures(drive: Path, out: Path) -> dict[str, str]:
    """Return the inside of each panel that shows a raster, by stage, for a panel at (0, 0)."""
    camera = cv2.imread(str(drive / "images" / CAMERA / f"{FRAME:04d}.jpg"))
    ids = cv2.imread(str(artifact(out, "segment") / "ids" / f"{FRAME:06d}_{CAMERA}.png"), cv2.IMREAD_UNCHANGED)
    bev, road_map = read(BevMap, artifact(out, "bake")), read(RoadMap, artifact(out, "trace"))
    pose = read(DriveLog, artifact(out, "ingest")).frames[FRAME].world_from_ego
    classes = np.asarray(bev.class_probability.argmax(axis=-1))
    standing = np.where(classes == RoadClass.BACKGROUND, 0.3, 1.0)[..., None]  # smeared along the view, so dimmed
    surface = (bev.rgb[..., ::-1] * standing).astype(np.uint8)
    return {
        "drive": image_svg(cut(camera)),
        "segment": image_svg(cut(COLORS_RGB[ids][..., ::-1])),
        "fit": image_svg(ground_panel(surface, bev, pose)),
        "trace": image_svg(ground_panel(COLORS_RGB[classes][..., ::-1].copy(), bev, pose))
        + map_svg(road_map, np.linalg.inv(pose), 0, 0),
    }


def cut(image: U8) -> U8:
    """Return a camera image cut to the panel's shape; most of what goes is sky."""
    height, width = image.shape[:2]
    rows = round(width * PANEL_H / PANEL_W)
    top = round((height - rows) * 0.7)
    return cv2.resize(image[top : top + rows], (2 * PANEL_W, 2 * PANEL_H), interpolation=cv2.INTER_AREA)


def image_svg(image: U8) -> str:
    """Return a picture that fills a panel at (0, 0)."""
    data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()).decode()
    return f'<image width="{PANEL_W}" height="{PANEL_H}" href="data:image/jpeg;base64,{data}"/>'


def label_svg(out: Path) -> str:
    """Return the label of one keyframe as SVG, forward to the right: known ground white, the rest grey."""
    shard = next((out / "shards").glob("*.tar"))
    with tarfile.open(shard) as tar:
        data = {name: tar.extractfile(name).read() for name in tar.getnames() if f"{FRAME:06d}." in name}
    record = next(json.loads(body) for name, body in data.items() if name.endswith(".json"))
    mask = next(body for name, body in data.items() if name.endswith(".known.png"))
    known = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_UNCHANGED) > 0
    turned = np.rot90(known, -1)  # row 0 was farthest forward, column 0 farthest left
    ground = np.where(turned[..., None], (255, 255, 255), (202, 196, 190)).astype(np.uint8)
    ground = cv2.resize(ground, (2 * PANEL_W, 2 * PANEL_H), interpolation=cv2.INTER_NEAREST)
    parts = [image_svg(ground)]
    for vector in record["vectors"]:
        points = np.array([point[:2] for point in vector["pts"]])
        parts.append(shape_svg(points, vector["cls_name"], vector["style"], vector["closed"], 0, 0))
    cx, cy = PANEL_W / 2, PANEL_H / 2
    parts.append(f'<path d="M{cx + 13} {cy} l-22 9 v-18 z" fill="{INK}" stroke="#fff" stroke-width="2"/>')
    return "".join(parts)


def text(x: float, y: float, words: str, size: int, color: str, extra: str = "") -> str:
    """Return one line of text."""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{color}" {FONT} {extra}>{words}</text>'


def shards_svg() -> str:
    """Return shards on the left and a model that trains on them on the right."""
    x = y = 0
    parts = [f'<rect x="{x}" y="{y}" width="{PANEL_W}" height="{PANEL_H}" fill="#eef3fa"/>']
    for i in (2, 1, 0):  # a stack of tar files, the foremost last
        left, top = x + 26 + 12 * i, y + 60 - 12 * i
        parts.append(
            f'<rect x="{left}" y="{top}" width="112" height="94" rx="7" fill="#fff" '
            f'stroke="{LINE}" stroke-width="2.5"/>'
        )
    for row, words in enumerate(("000000.json", "known.png", "index")):
        parts.append(text(x + 38, y + 88 + 24 * row, words, 16, SOFT))
    layers, step = (4, 5, 4, 2), 40
    nodes = [
        [(x + 226 + step * c, y + PANEL_H / 2 + (i - (n - 1) / 2) * 31) for i in range(n)] for c, n in enumerate(layers)
    ]
    for before, after in itertools.pairwise(nodes):
        for ax, ay in before:
            parts += [f'<path d="M{ax} {ay} L{bx} {by}" stroke="#9db8de" stroke-width="1.4"/>' for bx, by in after]
    parts += [f'<circle cx="{cx}" cy="{cy}" r="8" fill="{LINE}"/>' for column in nodes for cx, cy in column]
    parts.append(arrow(x + 170, y + PANEL_H / 2, x + 206, y + PANEL_H / 2))
    return "".join(parts)


def arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    """Return an arrow between two points."""
    return (
        f'<path d="M{x0} {y0} L{x1} {y1}" stroke="{LINE}" stroke-width="4" fill="none" '
        'stroke-linecap="round" marker-end="url(#tip)"/>'
    )


def colored(words: dict[str, str]) -> str:
    """Return words, each in the colour of its class."""
    return ", ".join(f'<tspan fill="{ON_LIGHT[name]}" font-weight="600">{word}</tspan>' for name, word in words.items())


PANELS = (
    ("drive", "Drive", "images, calibration, poses;", "nobody annotated them"),
    ("segment", "Segment", "a class per pixel, with confidence;", "vehicles are left out (black)"),
    ("fit", "Fit and bake", "a road surface of 2D Gaussians,", "seen from above"),
    (
        "trace",
        "Trace",
        colored({"divider": "dividers", "boundary": "boundaries"}) + ",",
        colored({"ped_crossing": "crossings", "stop_line": "stop lines"}) + " of the site",
    ),
    ("crop", "Crop", "one label per keyframe, with a mask:", "grey ground is not known"),
    ("pack", "Pack and train", "shards for your online-mapping", "model, or ten other formats"),
)


def figure(drive: Path, out: Path) -> str:
    """Return the whole drawing."""
    bodies = {**pictures(drive, out), "crop": label_svg(out), "pack": shards_svg()}
    row_h = TITLE_H + PANEL_H + NOTE_H
    height = 2 * MARGIN + 2 * row_h + ROW_GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="The pipeline: drive, segment, fit and bake, trace, crop, pack and train">',
        f'<defs><marker id="tip" viewBox="0 0 10 10" refX="6" refY="5" markerWidth="4.2" markerHeight="4.2" '
        f'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{LINE}"/></marker>',
    ]
    places = [(MARGIN + (i % 3) * (PANEL_W + GAP), MARGIN + TITLE_H + (i // 3) * (row_h + ROW_GAP)) for i in range(6)]
    parts.append(f'<clipPath id="panel"><rect width="{PANEL_W}" height="{PANEL_H}" rx="12"/></clipPath>')
    parts.append(f'</defs><rect width="{WIDTH}" height="{height}" rx="14" fill="#fff"/>')
    for i, ((x, y), (name, title, note, more)) in enumerate(zip(places, PANELS, strict=True)):
        parts.append(f'<circle cx="{x + 14}" cy="{y - 20}" r="14" fill="{LINE}"/>')
        parts.append(text(x + 14, y - 13.5, str(i + 1), 19, "#fff", 'text-anchor="middle" font-weight="700"'))
        parts.append(text(x + 38, y - 12, title, 24, INK, 'font-weight="700"'))
        parts.append(f'<g transform="translate({x} {y})" clip-path="url(#panel)">{bodies[name]}</g>')
        parts.append(
            f'<rect x="{x}" y="{y}" width="{PANEL_W}" height="{PANEL_H}" rx="12" fill="none" stroke="#c9d2df" '
            'stroke-width="1.5"/>'
        )
        parts += [text(x + 2, y + PANEL_H + 23, note, 19, SOFT), text(x + 2, y + PANEL_H + 46, more, 19, SOFT)]
        if i % 3 < 2:
            parts.append(arrow(x + PANEL_W + 8, y + PANEL_H / 2, x + PANEL_W + GAP - 10, y + PANEL_H / 2))
    (first, top), (last, _) = places[3], places[2]
    middle = top - TITLE_H - ROW_GAP / 2
    start, stop = last + PANEL_W / 2, first + PANEL_W / 2
    parts.append(
        f'<path d="M{start} {middle - 16} V{middle - 9} q0 9 -9 9 H{stop + 9} q-9 0 -9 9 V{middle + 13}" '
        f'stroke="{LINE}" stroke-width="4" fill="none" stroke-linecap="round" marker-end="url(#tip)"/>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("pipeline_out"))
    parser.add_argument("--to", type=Path, default=Path("docs/pictures/pipeline.svg"))
    options = parser.parse_args()
    drive, out = make_result(options.work)
    options.to.write_text(figure(drive, out), encoding="utf-8")
    print(f"{options.to}: {options.to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
