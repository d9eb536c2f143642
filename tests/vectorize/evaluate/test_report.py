from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from lines import element

from recon.drive import DriveLog, Frame
from recon.errors import ArtifactForeign, ArtifactInvalid, InputInvalid
from recon.geometry import GeoOrigin, transform
from vectorize.config import CropConfig, PackConfig
from vectorize.evaluate.page import page
from vectorize.evaluate.picture import BEYOND_RGB, FALSE_RGB, FOUND_RGB, MISSED_RGB
from vectorize.evaluate.report import evaluate_result, shown
from vectorize.evaluate.truth import read_truth
from vectorize.formats.geojson import write_geojson
from vectorize.labels import LabelSet, PseudoLabels, crop_element
from vectorize.road_map import RoadMap
from vectorize.shard import pack

ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=110.0)
TRUE = RoadMap(
    elements=(
        element([[-40, 0, 0], [100, 0, 0]]),
        element([[-40, 4, 0], [100, 4, 0]], style="dashed"),
        element([[-40, 7, 0], [100, 7, 0]], name="boundary", style="unknown"),
    )
)
FOUND = RoadMap(
    origin=ORIGIN,
    elements=(
        element([[-40, 0.2, 0], [100, 0.2, 0]], score=0.8),
        element([[-40, 7, 0], [100, 7, 0]], name="boundary", score=0.6, style="unknown"),
        element([[-40, -9, 0], [100, -9, 0]], score=0.3),  # there is no such line
    ),
)


def write_true_map(path, road_map=TRUE):
    entries = [
        {"class": e.element_class, "style": e.style, "closed": e.closed, "vertices": e.vertices.tolist()}
        for e in road_map.elements
    ]
    path.write_text(json.dumps({"format": "roadscribe-true-map", "version": 1, "elements": entries}))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return (drive folder, result folder) as a label job leaves them."""
    root = tmp_path_factory.mktemp("job")
    drive, out = root / "drive", root / "out"
    drive.mkdir()
    write_true_map(drive / "true_map.json")
    origin = {"latitude_deg": 49.0, "longitude_deg": 8.4, "altitude_m": 110.0}
    (drive / "drive.json").write_text(json.dumps({"name": "painted", "origin": origin, "true_map": "true_map.json"}))
    (drive / "true_poses.json").write_text(json.dumps({"seed": 12}))
    poses = [transform(np.eye(3), (x, 0.0, 0.0)) for x in (0.0, 20.0, 40.0)]
    log = DriveLog(
        name="painted",
        root=drive,
        cameras=(),
        frames=tuple(Frame(time_ns=i, world_from_ego=p, images=()) for i, p in enumerate(poses)),
        origin=ORIGIN,
    )
    known = np.ones((400, 200), bool)
    known[:, 190:] = False  # the 1.5 m farthest right
    labels = [
        PseudoLabels(
            frame=i,
            time_ns=i,
            world_from_ego=pose,
            elements=tuple(p for e in FOUND.elements for p in crop_element(e, np.linalg.inv(pose), CropConfig())),
            known=known,
        )
        for i, pose in enumerate(poses)
    ]
    label_set = LabelSet(
        drive="painted", labels=tuple(labels), length_m=60.0, width_m=30.0, mask_cell_m=0.15, provenance={}
    )
    pack(label_set, log, PackConfig(), out / "shards")
    write_geojson(FOUND, out / "map.geojson", name="painted")
    classes = {"divider": {"images": 4, "samples": 9, "median_px": 0.5, "p90_px": 2.0, "why": ""}}
    report = {
        "roadscribe": "0.1.0",
        "job": {"kind": "label", "drive": str(drive), "segment": {"backend": "id_images"}, "fit": {"seed": 17}},
        "reprojection": {"frames": 1, "images": 4, "classes": classes},
    }
    (out / "report.json").write_text(json.dumps(report))
    return drive, out


def test_a_result_is_measured_on_patches_and_on_the_site(folders):
    drive, out = folders
    record, pictures = evaluate_result(out, drive)
    for part in (record["patches"], record["site"]):
        classes = part["observed"]["classes"]
        assert classes["divider"]["chamfer"]["recall_at"] == [0.5] * 3
        assert classes["divider"]["chamfer"]["precision_at"] == [0.5] * 3
        assert classes["boundary"]["chamfer"]["ap"] == 1.0
        assert part["observed"]["mean"]["chamfer"]["map"] == 0.75
        assert part["coverage"]["area"] == pytest.approx(0.95, abs=0.001)
    assert record["patches"]["patches"] == 3
    assert record["site"]["full_range"]["classes"]["divider"]["true"] == 2
    about = record["about"]
    assert (about["drive"], about["seed"], about["segmenter"]) == ("painted", 17, "id_images")
    assert about["truth"]["name"] == "true_map.json"
    assert about["truth"]["seed"] == 12
    assert about["config"]["thresholds_m"] == (0.5, 1.0, 1.5)
    assert len(pictures) == 4
    json.dumps(record, allow_nan=False)


def test_pictures_show_what_was_found_missed_and_false_in_three_colours(folders):
    _, pictures = evaluate_result(folders[1], folders[0])
    for name, data in pictures.items():
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if name != "site":
            assert picture.shape == (480, 960, 3)
            # x = 10 m ahead; dividers at y = 0 (found), 4 (missed) and -9 (false), the boundary at 7.
            rows = {7: FOUND_RGB, 4: MISSED_RGB, 0: FOUND_RGB, -9: FALSE_RGB}
            for y, rgb in rows.items():
                at = picture[round((15 - y) * 16) - 3 : round((15 - y) * 16) + 3, (40 * 16)]
                assert (at[:, ::-1] == rgb).all(axis=1).any(), (name, y)
        for rgb in (FOUND_RGB, MISSED_RGB, FALSE_RGB):
            assert (picture[..., ::-1] == rgb).all(axis=-1).any()
        assert not (picture[..., ::-1] == BEYOND_RGB).all(axis=-1).all()


class Outline(HTMLParser):
    """Collects what a page asks for, and whether its tags pair up."""

    def __init__(self):
        super().__init__()
        self.sources, self.open, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [v for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(folders):
    drive, out = folders
    html = page(*evaluate_result(out, drive))
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert outline.sources
    assert all(s.startswith("data:image/png;base64,") for s in outline.sources)
    assert not {"script", "link", "iframe"} & set(outline.tags)
    assert "url(" not in html
    assert "@import" not in html
    for text in ("painted", "true_map.json", "observed area", "full range", "Coverage", "Reprojection", "city seed 12"):
        assert text in html
    # Every row of a table has as many columns as its head.
    for table in re.findall(r"<table>(.*?)</table>", html, re.DOTALL):
        widths = set()
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL):
            cells = re.findall(r"<t[dh][^>]*>", row)
            spans = [re.search(r'colspan="(\d+)"', cell) for cell in cells]
            widths.add(sum(int(span[1]) if span else 1 for span in spans))
        assert len(widths) == 1, table[:300]


def test_without_a_truth_the_jobs_reprojection_error_is_left(folders, tmp_path):
    record, pictures = evaluate_result(folders[1], None)
    assert record["patches"] is None
    assert pictures == {}
    assert record["reprojection"]["classes"]["divider"]["median_px"] == 0.5
    assert "no true map was given" in record["notes"][0]
    assert "Reprojection error" in page(record, pictures)


def test_a_geojson_of_another_run_can_be_the_truth(folders):
    record, _ = evaluate_result(folders[1], folders[1])
    assert record["site"]["full_range"]["mean"]["chamfer"]["map"] == 1.0
    assert record["patches"]["observed"]["mean"]["chamfer"]["map"] == 1.0


def test_a_true_map_of_another_place_is_refused(folders, tmp_path):
    moved = tuple(element(e.vertices + [9000.0, 0, 0]) for e in TRUE.elements)
    path = write_true_map(tmp_path / "map.json", RoadMap(elements=moved))
    with pytest.raises(InputInvalid, match="do not overlap at all"):
        evaluate_result(folders[1], path)


def test_a_map_in_degrees_without_an_origin_leaves_the_site_out(folders, tmp_path):
    drive, out = folders
    copy = tmp_path / "out"
    copy.mkdir()
    (copy / "shards").symlink_to(out / "shards")
    (copy / "map.geojson").write_bytes((out / "map.geojson").read_bytes())
    report = json.loads((out / "report.json").read_text())
    report["job"]["drive"] = "gone"
    (copy / "report.json").write_text(json.dumps(report))
    record, pictures = evaluate_result(copy, drive / "true_map.json")
    assert record["site"] is None
    assert "the origin of the drive is not known" in record["notes"][0]
    assert record["patches"]["observed"]["mean"]["chamfer"]["map"] == 0.75
    assert "site" not in pictures


@pytest.mark.parametrize(("name", "text"), [("report.json", "{"), ("report.json", "{}"), ("report.json", None)])
def test_a_folder_that_is_no_result_is_refused(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ArtifactForeign if text is None else ArtifactInvalid):
        evaluate_result(tmp_path, None)


def test_truth_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(InputInvalid, match="there is no such truth"):
        read_truth(tmp_path / "gone")
    with pytest.raises(InputInvalid, match="holds no truth"):
        read_truth(tmp_path)
    (tmp_path / "drive.json").write_text('{"name": "x"}')
    with pytest.raises(InputInvalid, match="has no true map"):
        read_truth(tmp_path)
    (tmp_path / "drive.json").write_text('{"true_map": "../map.json"}')
    with pytest.raises(InputInvalid):
        read_truth(tmp_path)
    (tmp_path / "drive.json").write_text("[")
    with pytest.raises(InputInvalid, match="cannot be read"):
        read_truth(tmp_path)


def test_the_worst_patches_are_shown_and_some_others():
    rows = [{"f1": f} for f in (1.0, 0.2, None, 0.9, 0.1, 1.0, 1.0, 0.5, 1.0)]
    chosen = shown(rows)
    assert {1, 4, 7} <= set(chosen)
    assert len(chosen) == 6
    assert shown([]) == []
    assert shown([{"f1": None}]) == [0]
