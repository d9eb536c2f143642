"""Proves that a change of structure changes no result: two commits label the same drives, and every byte is compared.

Usage: python .ci/same_bytes.py BASE [WORK]

BASE is any commit; it is checked out as a worktree in WORK (same_bytes_out/) and its results are kept there, so that a
second comparison runs only the new side. Both sides render four demo drives, label them (true ids and the shipped net),
join two trips into one site, and label the KITTI drive where the real drives are. Compared by sha256: the drives, the
maps, the shards, the pictures, and the files of every artifact that a stage left. Exits 1 if any file differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("ROADSCRIBE_TEST_DATA", ROOT / "../shared/data")).resolve()
CITY = {  # name of the drive -> what the demo city is asked for
    "day": ["--seed", "31", "--condition", "day", "--frames", "12"],
    "night": ["--seed", "32", "--condition", "night", "--frames", "10"],
    "wet": ["--seed", "33", "--condition", "wet", "--frames", "12", "--no-lidar"],
    "back": ["--seed", "31", "--condition", "dusk", "--frames", "12", "--trip", "1", "--pose-noise", "0.3"],
}
NET = ["--segmenter", "mask2former", "--weights", "demo_city"]
KITTI_DRIVE = DATA / "kitti_raw/2011_09_26/2011_09_26_drive_0001_sync"
KITTI_NET = DATA / "road_segmentation_adas_0001/road-segmentation-adas-0001.xml"
COMPARED = ("map.geojson", "shards", "pictures")


def roadscribe(tree: Path, *arguments: str | Path) -> None:
    """Run one command with the code of `tree`: the working directory comes first on Python's path."""
    code = "import sys; from service.cli import main; sys.argv[0] = 'roadscribe'; sys.exit(main())"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(
        command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{tree.name}: roadscribe {' '.join(map(str, arguments))}\n{result.stdout}\n{result.stderr}")


def results(tree: Path, out: Path) -> None:
    """Write the drives and results of one side below `out`; what is complete stays."""
    for name, options in CITY.items():
        if not (out / "drives" / name / "drive.json").exists():
            roadscribe(tree, "city", out / "drives" / name, *options)
    jobs: dict[str, list[str | Path]] = {
        name: ["label", out / "drives" / name, out / name, *(NET if name in ("night", "wet") else [])] for name in CITY
    }
    jobs["site"] = ["aggregate", out / "site", out / "drives/day", out / "drives/back"]
    if KITTI_DRIVE.is_dir():
        jobs["kitti"] = ["label", KITTI_DRIVE, out / "kitti", "--segmenter", "openvino", "--weights", KITTI_NET]
        jobs["kitti"] += ["--class-map", "road_segmentation_adas_0001", "--holdout", "5"]
    for name, arguments in jobs.items():
        if not (out / name / "report.json").exists():
            print(f"{tree.name}: {name}", flush=True)
            roadscribe(tree, *arguments)


def digests(out: Path) -> dict[str, str]:
    """Return the sha256 of every compared file below `out`; manifests name the code and are left out."""
    roots = [out / "drives", *(job / part for job in sorted(out.iterdir()) for part in COMPARED)]
    files = [
        path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*"))) if path.is_file()
    ]
    kept = [path for path in files if path.name != "manifest.json"]
    found = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    # The folder of an artifact is named by its key, which changes with the code: it goes by its kind and its content.
    for path in sorted(out.glob("*/.roadscribe/store/objects/*/*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        content = hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()
        found[f"{path.relative_to(out).parts[0]}/{manifest['kind']} {content}"] = content
    return found


def main(base: str, work: Path) -> int:
    """Compare the working tree with `base`."""
    commit = subprocess.run(
        ["git", "rev-parse", base], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    tree = work / f"tree-{commit[:10]}"
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], cwd=ROOT, check=True)
    shutil.rmtree(work / "now", ignore_errors=True)
    before, now = work / f"results-{commit[:10]}", work / "now"
    results(tree, before)
    results(ROOT, now)
    old, new = digests(before), digests(now)
    different = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    for job in sorted({name.split("/")[0] for name in old}):
        names = [name for name in old if name.split("/")[0] == job]
        total = hashlib.sha256("".join(f"{old[name]}  {name}\n" for name in names).encode()).hexdigest()
        same = sum(old[name] == new.get(name) for name in names)
        print(f"{job:8} {same} of {len(names)} files are the same; sha256 over all of {commit[:10]}: {total}")
    print("\n".join(f"differs: {name}" for name in different))
    return 1 if different else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) == 3 else ROOT / "same_bytes_out").resolve()))
