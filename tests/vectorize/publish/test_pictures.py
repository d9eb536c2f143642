from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from painter import shifted, street
from shapely import LineString

from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import ImageInvalid
from recon.geometry import rotation_from_euler, transform
from recon.sensors.project import project
from vectorize.evaluate.reprojection import sample_points
from vectorize.publish.pictures import COLORS_BGR, Viewport, _foot, draw
from vectorize.publish.summary import map_summary
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def camera(**changes) -> Camera:
    fields = {
        "name": "front",
        "width_px": 640,
        "height_px": 320,
        "k": np.array([[300.0, 0, 320], [0, 300, 160], [0, 0, 1]]),
        "ego_from_camera": transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (0.0, 0, 1.5)),
        "distortion": np.zeros(0),
    }
    return Camera(**{**fields, **changes})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("drive")
    canvas, centre = street(heading_rad=0.9, length_m=50.0)
    canvas.stroke(shifted(centre, 1.5))
    near = LineString(centre).buffer(12.0)
    shapely.prepare(near)
    canvas.hide(~shapely.contains_xy(near, *np.moveaxis(canvas.grid.centres(), -1, 0)))
    pose = [transform(rotation_from_euler(yaw_rad=0.9), (*centre[k], 0.0)) for k in range(0, 800, 200)]
    cv2.imwrite(str(root / "grey.png"), np.full((320, 640, 3), 90, np.uint8))
    frames = tuple(
        Frame(time_ns=i, world_from_ego=p, images=(Image(camera="front", path="grey.png", time_ns=i),))
        for i, p in enumerate(pose)
    )
    drive = DriveLog(name="street", root=root, cameras=(camera(),), frames=frames)
    bev = canvas.bev()
    return drive, bev, trace(bev, TraceConfig())


def test_the_drive_runs_left_to_right_and_lines_have_their_colours(site, tmp_path):
    paths = draw(*site, tmp_path, overlays=3)
    names = [path.name for path in paths]
    assert names == [
        *("bev_color.png", "bev_classes.png", "overlay_0.png", "overlay_1.png", "overlay_2.png", "overlays.png")
    ]
    for path in paths[:2]:
        picture = cv2.imread(str(path))
        assert 1600 <= max(picture.shape) <= 2400
        assert picture.shape[1] > 1.5 * picture.shape[0]
        rows, columns = np.nonzero(np.all(picture[:-64] == COLORS_BGR["divider"], axis=-1))
        # The divider is 50 m of a 76 m wide map, 1.5 m left of the path: above it and level.
        assert np.ptp(columns) > 0.6 * picture.shape[1]
        assert np.std(rows) < 12


@pytest.mark.parametrize("width_px", [900, 1200, 2000])
def test_the_legend_takes_rows_enough_to_leave_the_scale_bar_free(site, width_px):
    line = site[2].of("divider")[0]
    styles = tuple(replace(line, style=style) for style in ("solid", "dashed", "double", "unknown"))
    others = tuple(replace(line, element_class=name, style="unknown") for name in ("boundary", "stop_line"))
    viewport = Viewport(np.eye(2, 3), width_px, 400, 10.0, 0.0)
    foot = _foot(replace(site[2], elements=styles + others), viewport, "bev_classes")
    assert foot.shape[1] == width_px
    assert foot.shape[0] >= 64 + 36 * (2600 // width_px - 1)
    bar_px = 10.0 * max(m for m in (20, 10, 5) if 10.0 * m <= 0.14 * width_px)
    left = round(width_px - 90 - bar_px)
    assert (foot[: 64 - 10, left - 12 : left - 2] == 18).all()  # background between the last sign and the bar


def test_a_line_is_drawn_where_the_camera_sees_it(site, tmp_path):
    draw(*site, tmp_path, overlays=1)
    picture = cv2.imread(str(tmp_path / "overlay_0.png"))
    scale = picture.shape[1] / 640
    # Ten metres ahead, 1.5 m left, 1.5 m below the camera.
    column, row = (320 - 300 * 0.15) * scale, (160 + 300 * 0.15) * scale
    window = picture[round(row) - 3 : round(row) + 4, round(column) - 4 : round(column) + 5].astype(int)
    assert np.abs(window - COLORS_BGR["divider"]).sum(axis=-1).min() < 60


def test_a_missing_image_is_named(site, tmp_path):
    drive, bev, road_map = site
    bad = Frame(
        time_ns=0,
        world_from_ego=np.eye(4),
        images=(Image(camera="front", path="gone.png", time_ns=0),),
    )
    broken = DriveLog(name="x", root=drive.root, cameras=drive.cameras, frames=(bad,))
    with pytest.raises(ImageInvalid, match=r"gone\.png"):
        draw(broken, bev, road_map, tmp_path)


def test_overlays_ignore_rotation_tags(site, tmp_path):
    drive, bev, road_map = site
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = cv2.imencode(".jpg", np.full((320, 640, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "in").mkdir()
    tagged = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    (tmp_path / "in" / "grey.png").write_bytes(tagged)
    draw(replace(drive, root=tmp_path / "in"), bev, road_map, tmp_path)
    height, width = cv2.imread(str(tmp_path / "overlay_0.png")).shape[:2]
    assert width == 2 * height


def test_projection_matches_the_pinhole_and_honours_distortion_and_fisheye():
    points = np.array([[10.0, 1.0, 0.0], [10.0, -1.0, 0.5], [-5.0, 0.0, 0.0], [0.2, 0.0, 0.0]])
    uv, depth, inside = project(camera(), np.eye(4), points)
    assert inside.tolist() == [True, True, False, False]
    assert np.allclose(uv[0], [320 - 30, 160 + 45])
    assert np.allclose(depth[:2], 10.0)
    bent, _, _ = project(camera(distortion=np.array([-0.3, 0.05, 0, 0])), np.eye(4), points)
    radius = np.hypot(*(bent[0] - [320, 160]))
    assert radius < np.hypot(*(uv[0] - [320, 160]))
    fish, _, _ = project(camera(distortion=np.zeros(4), model="fisheye"), np.eye(4), points)
    tangent = np.hypot(0.1, 0.15)
    assert np.hypot(*(fish[0] - [320, 160])) == pytest.approx(300 * np.arctan(tangent))


def test_the_summary_counts_metres(site):
    _, _, road_map = site
    body = map_summary(road_map)
    assert body["classes"]["divider"]["elements"] == 1
    assert body["classes"]["divider"]["longest_m"] == pytest.approx(50.0, abs=0.5)
    assert body["classes"]["ped_crossing"] == {"elements": 0, "length_m": 0, "longest_m": 0.0, "score": 0.0}
    assert len(sample_points(road_map, "divider")) == pytest.approx(100, abs=3)
