from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import painted_result
import pytest
from real_data import real_data

from recon.drive import DriveLog
from recon.errors import ArtifactForeign, ArtifactInvalid, InputInvalid
from vectorize.config import PackConfig
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.evaluate_result import evaluate_result, patches_to_draw
from vectorize.evaluate.evaluate_site import evaluate_site
from vectorize.evaluate.match_pictures import BEYOND_RGB, FALSE_RGB, FOUND_RGB, MISSED_RGB
from vectorize.evaluate.page import page
from vectorize.labels.label_set import LabelSet
from vectorize.labels.shard import pack
from vectorize.road_map import RoadMap
from vectorize.truth.read_truth import read_truth


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return (drive folder, result folder)."""
    return painted_result.write(tmp_path_factory.mktemp("job"))


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
    text = page(record, pictures)
    assert "Reprojection error" in text
    assert "<td>flat ground</td><td>9</td><td>1.25</td>" in text


def test_a_geojson_of_another_run_can_be_the_truth(folders):
    record, _ = evaluate_result(folders[1], folders[1])
    assert record["site"]["full_range"]["mean"]["chamfer"]["map"] == 1.0
    assert record["patches"]["observed"]["mean"]["chamfer"]["map"] == 1.0


def test_a_true_map_of_another_place_is_refused(folders, tmp_path):
    moved = RoadMap(elements=(painted_result.line(0, shift_m=9000.0),))
    path = painted_result.write_true_map(tmp_path / "map.json", moved)
    with pytest.raises(InputInvalid, match="do not overlap"):
        evaluate_result(folders[1], path)


def test_a_result_without_keyframes_is_valid_and_says_so(folders, tmp_path):
    drive, out = folders
    empty = LabelSet(drive="painted", labels=(), length_m=60.0, width_m=30.0, mask_cell_m=0.15, provenance={})
    log = DriveLog(name="painted", root=drive, cameras=(), frames=())
    pack(empty, log, PackConfig(), tmp_path / "shards")
    (tmp_path / "report.json").write_bytes((out / "report.json").read_bytes())
    record, pictures = evaluate_result(tmp_path, drive)
    assert record["patches"]["notes"] == ["there are no patches, so nothing was measured"]
    assert record["site"] is None
    assert pictures == {}
    assert "nothing was measured" in page(record, pictures)


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
    assert "the origin of the drive is unknown" in record["notes"][0]
    assert record["patches"]["observed"]["mean"]["chamfer"]["map"] == 0.75
    assert "site" not in pictures


@pytest.mark.parametrize(("name", "text"), [("report.json", "{"), ("report.json", "{}"), ("report.json", None)])
def test_a_folder_that_is_no_result_is_refused(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ArtifactForeign if text is None else ArtifactInvalid):
        evaluate_result(tmp_path, None)


def test_every_trip_of_an_aggregate_job_counts(folders, tmp_path):
    drive, out = folders
    (tmp_path / "shards").mkdir()
    for trip in ("2", "10", "1"):
        (tmp_path / "shards" / trip).symlink_to(out / "shards")
    (tmp_path / "map.geojson").write_bytes((out / "map.geojson").read_bytes())
    report = json.loads((out / "report.json").read_text())
    report["job"] = {"kind": "aggregate", "drives": [{"drive": str(drive)}] * 3, "fit": {}, "segment": {}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    record, _ = evaluate_result(tmp_path, drive / "true_map.json")
    assert record["patches"]["patches"] == 9
    assert record["about"]["drive"] == "painted + painted + painted"
    assert record["site"]["observed"]["mean"]["chamfer"]["map"] == 0.75


@pytest.mark.data
def test_the_map_of_an_argoverse_2_log_can_be_the_truth():
    source = read_truth(real_data("argoverse2", "val", "7fab2350-7eaf-3b7e-a39d-6937a4c1bede"))
    assert source.path.name.startswith("log_map_archive_")
    assert {e.element_class for e in source.road_map.elements} >= {"divider", "boundary"}
    record = evaluate_site(source.road_map, source.road_map, None)
    assert record["full_range"]["mean"]["chamfer"]["map"] == pytest.approx(1.0)


def test_a_drive_may_be_named_relative_to_where_one_stands(folders, monkeypatch):
    monkeypatch.chdir(folders[0].parent)
    assert read_truth(Path(folders[0].name)).path.name == "true_map.json"


def test_truth_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(InputInvalid, match="the true map does not exist"):
        read_truth(tmp_path / "gone")
    with pytest.raises(InputInvalid, match="the drive format is not known"):
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
    chosen = patches_to_draw(rows)
    assert {1, 4, 7} <= set(chosen)
    assert len(chosen) == 6
    assert patches_to_draw([]) == []
    assert patches_to_draw([{"f1": None}]) == [0]


def test_filled_holes_count_as_observed(folders):
    out, drive = folders[1], folders[0]
    plain, _ = evaluate_result(out, drive)
    filled, _ = evaluate_result(out, drive, EvaluateConfig(fill_holes=True))
    for key in ("patches", "site"):
        assert filled[key]["coverage"]["area"] >= plain[key]["coverage"]["area"]
    assert filled["about"]["config"]["fill_holes"] is True
