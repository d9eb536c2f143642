"""`roadscribe export` on a result folder whose artifacts are known, in our process and with every format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import small_site
from typer.testing import CliRunner

from recon import artifact
from recon.errors import ArtifactForeign, ArtifactInvalid, ConfigInvalid, PathRefused
from service.cli.app import app
from vectorize.formats.catalog import FORMATS
from workers.jobs.export import EXPORT_FORMATS
from workers.stage import identity

RUNNER = CliRunner()
ROOT = Path(__file__).parents[3]


@pytest.fixture
def result(tmp_path):
    """Write what `roadscribe label` leaves, with an older map of another run beside the one of the report."""
    out = tmp_path / "out"
    drive = small_site.drive(tmp_path)
    artifacts = {
        "ingest": drive,
        "fit": small_site.surface(),
        "bake": small_site.bev(),
        "trace": small_site.road_map(origin=None),
        "crop": small_site.labels(drive),
    }
    store = out / ".roadscribe" / "store" / "objects"
    artifact.write(small_site.road_map(small_site.element("divider", [[0, 1], [1, 1]])), store / "trace" / "0")
    stages = []
    for stage, one in artifacts.items():
        manifest = artifact.write(one, store / stage / "1")
        stages.append({"name": stage, "digest": identity(manifest), "key": "1"})
    (out / "report.json").write_text(json.dumps({"job": {"drive": "/data/a drive"}, "stages": stages}))
    return out


def export(result, *arguments):
    return RUNNER.invoke(app, ["export", str(result), *map(str, arguments)])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_leaves_its_files_and_says_what_it_cannot_hold(result, name):
    pytest.importorskip("pyogrio", reason="needs the extra [geo]")
    done = export(result, "--format", name, "--origin", "49,8.4,110")
    assert done.exit_code == 0, done.exception
    files = [Path(line) for line in done.stdout.split("\n") if line]
    assert files
    assert all(file.parent == result / "exports" and file.stat().st_size for file in files)
    assert all(loss in done.stderr for loss in FORMATS[name].loses)
    assert export(result, "--format", name, "--origin", "49,8.4,110").exit_code == 0  # ours to replace


def test_no_format_writes_over_another(result):
    pytest.importorskip("pyogrio", reason="needs the extra [geo]")
    files = [
        json.loads(export(result, "--format", name, "--origin", "49,8", "--json").stdout)["files"] for name in FORMATS
    ]
    flat = [file for some in files for file in some]
    assert len(flat) == len(set(flat)) == len(list((result / "exports").iterdir()))


def test_the_map_is_that_of_the_report_and_not_of_another_run(result):
    done = export(result, "--format", "geoparquet", "--origin", "49,8.4", "--json")
    (file,) = json.loads(done.stdout)["files"]
    import pyarrow.parquet as pq

    assert pq.read_table(file).num_rows == 9


def test_a_file_in_the_way_is_not_overwritten_unasked(result, tmp_path):
    target = tmp_path / "b.ply"
    assert export(result, "--format", "ply", "--to", target).exit_code == 0
    target.write_text("mine")
    refused = export(result, "--format", "ply", "--to", target)
    assert isinstance(refused.exception, PathRefused)
    assert target.read_text() == "mine"
    assert export(result, "--format", "ply", "--to", target, "--overwrite").exit_code == 0
    assert target.read_bytes().startswith(b"ply")
    assert export(result, "--format", "ply", "--to", tmp_path, "--json").exit_code == 0
    assert (tmp_path / "a_drive.ply").exists()
    assert isinstance(export(result, "--format", "streammapnet", "--to", target).exception, PathRefused)


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("--format", "shapefile"), ConfigInvalid, "geopackage"),
        (("--format", "lanelet2"), ConfigInvalid, "--origin LAT,LON[,ALT]"),
        (("--format", "lanelet2", "--origin", "49"), ConfigInvalid, "LAT,LON"),
        (("--format", "lanelet2", "--origin", "91,8"), ConfigInvalid, "LAT,LON"),
        (("--format", "lanelet2", "--origin", "nan,8"), ConfigInvalid, "LAT,LON"),
        (("--format", "lanelet2", "--origin", "a,b"), ConfigInvalid, "LAT,LON"),
    ],
)
def test_a_wrong_option_is_named_with_the_way_out(result, arguments, error, hint):
    done = export(result, *arguments)
    assert isinstance(done.exception, error)
    assert hint in done.exception.hint


@pytest.mark.parametrize(("name", "package"), [("geopackage", "pyogrio"), ("geotiff", "rasterio")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(result, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    error = export(result, "--format", name, "--origin", "49,8.4").exception
    assert isinstance(error, ConfigInvalid)
    assert (package in error.message, "roadscribe[geo]" in error.hint) == (True, True)
    assert not (result / "exports").exists()


def test_a_folder_that_is_no_result_or_a_damaged_one_is_refused(result, tmp_path):
    assert isinstance(export(tmp_path, "--format", "ply").exception, ArtifactForeign)
    (file,) = (result / ".roadscribe" / "store" / "objects" / "fit" / "1").glob("z.npy")
    file.write_bytes(file.read_bytes()[:-4])
    assert isinstance(export(result, "--format", "ply").exception, ArtifactInvalid)
    for folder in (result / ".roadscribe" / "store" / "objects" / "trace").iterdir():
        (folder / "manifest.json").unlink()
    missing = export(result, "--format", "geoparquet", "--origin", "49,8.4")
    assert isinstance(missing.exception, ArtifactForeign)
    for text in ("{", "[]", '{"stages": 3}', '{"stages": [3], "job": 4}'):
        (result / "report.json").write_text(text)
        assert isinstance(export(result, "--format", "ply").exception, ArtifactForeign | ArtifactInvalid)


def test_the_documents_name_every_format_and_loss():
    text = " ".join((ROOT / "docs" / "exports.md").read_text().replace("`", "").split())
    assert list(EXPORT_FORMATS) == list(FORMATS)
    for one in FORMATS.values():
        assert f"--format {one.name}" in text or f"| {one.name} |" in text
        for loss in one.loses:
            assert " ".join(loss.replace("`", "").split()) in text, loss


def test_the_examples_of_the_documents_run(result, tmp_path, monkeypatch):
    pytest.importorskip("lanelet2", reason="needs the extra [geo]")
    for name, ending in (("lanelet2", ".osm"), ("maptrv2", "_maptrv2_infos.json")):
        target = tmp_path / f"my_drive{ending}"
        assert export(result, "--format", name, "--origin", "49,8.4,110", "--to", target).exit_code == 0
    monkeypatch.chdir(tmp_path)
    blocks = (ROOT / "docs" / "exports.md").read_text().split("```python\n")[1:]
    assert len(blocks) == 2
    for block in blocks:
        exec(block.split("```")[0], {})
    assert (tmp_path / "my_drive_map_infos_temporal_train.pkl").stat().st_size > 0
