"""Builds a release and proves that it can be installed; nothing is published.

Usage: python .ci/release.py [--to dist] [--allow-dirty]
The version stands in pyproject.toml alone. The changelog must have a dated section for it, CITATION.cff the same
version and date, and the working tree must be clean. Then the command builds sdist and wheel, builds a wheel from the
sdist, installs the wheel into an empty environment, and runs `roadscribe --version`, `city` and `label` there, outside
the checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class NotReady(SystemExit):
    """The tree cannot be released as it is; the message says why."""


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def release_date(version: str) -> str:
    """Return the date of the changelog's section for a version; raises NotReady without one."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)} \((\d{{4}}-\d\d-\d\d)\)$", text, re.MULTILINE)
    if found is None:
        raise NotReady(f"CHANGELOG.md has no section '## {version} (YYYY-MM-DD)'")
    return found[1]


def check_citation(version: str, date: str) -> None:
    """Raise NotReady unless CITATION.cff names this version and date."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    for line in (f"version: {version}", f'date-released: "{date}"'):
        if line not in text.splitlines():
            raise NotReady(f"CITATION.cff lacks the line: {line}")


def check_clean() -> None:
    """Raise NotReady if git knows of changes that are not committed."""
    command = ["git", "status", "--porcelain"]
    changes = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    if changes:
        raise NotReady(f"the working tree has changes that are not committed:\n{changes}")


def run(*command: str | Path, cwd: Path = ROOT, quiet: bool = False) -> str:
    """Run a command and return its standard output; its messages pass through."""
    print("+", *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    output = subprocess.PIPE if quiet else None
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, stdout=output, text=True, check=True)
    return done.stdout or ""


def build(to: Path) -> tuple[Path, Path]:
    """Return the wheel and the sdist of this tree, built into a folder that holds nothing else of this version."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", to, ROOT, quiet=True)
    version = project()["project"]["version"]
    return to / f"roadscribe-{version}-py3-none-any.whl", to / f"roadscribe-{version}.tar.gz"


def members(wheel: Path) -> set[str]:
    """Return the paths in a wheel."""
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def missing_files(wheel: Path) -> list[str]:
    """Return the files of the packages, as git knows them, that a wheel lacks."""
    packages = project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    command = ["git", "ls-files", *packages]
    known = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return sorted(set(known) - members(wheel))


def check_wheels(wheel: Path, sdist: Path, work: Path) -> None:
    """Raise NotReady unless the wheel holds every file of the packages and the sdist builds into the same wheel."""
    missing = missing_files(wheel)
    if missing:
        raise NotReady(f"the wheel lacks {len(missing)} files: {', '.join(missing)}")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir")
    run(*pip, work / "from_sdist", sdist)
    again = next((work / "from_sdist").glob("*.whl"))
    if members(again) != members(wheel):
        raise NotReady(f"the sdist builds into another wheel: {sorted(members(again) ^ members(wheel))}")


def check_installed(wheel: Path, work: Path) -> None:
    """Install the wheel into an empty environment and label a small drive with it, outside the checkout."""
    run(sys.executable, "-m", "venv", work / "venv")
    tools = work / "venv" / ("Scripts" if os.name == "nt" else "bin")
    # The environment is thrown away: compiling every module of torch and ray in it would take longer than the rest.
    pip = (tools / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
    run(*pip, "-c", ROOT / "constraints.txt", wheel)
    roadscribe, version = tools / "roadscribe", project()["project"]["version"]
    told = run(roadscribe, "--version", cwd=work, quiet=True).strip()
    if told != version:
        raise NotReady(f"roadscribe --version prints {told}, not {version}")
    size = ("--frames", "4", "--spacing", "5", "--width", "240", "--height", "136", "--no-lidar")
    run(roadscribe, "city", "drive", *size, cwd=work)
    run(roadscribe, "label", "drive", "out", cwd=work)
    for name in ("map.geojson", "report.json", "shards/manifest.json", "pictures/bev_color.png"):
        if not (work / "out" / name).is_file():
            raise NotReady(f"roadscribe label wrote no {name}")


def main() -> int:
    """Check, build, install, and print what was built."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder for the wheel and the sdist")
    parser.add_argument("--allow-dirty", action="store_true", help="try it on a tree that is not committed")
    options = parser.parse_args()
    version = project()["project"]["version"]
    date = release_date(version)
    check_citation(version, date)
    if not options.allow_dirty:
        check_clean()
    wheel, sdist = build(options.to.absolute())
    with tempfile.TemporaryDirectory(prefix="roadscribe-release-") as folder:
        check_wheels(wheel, sdist, Path(folder))
        check_installed(wheel, Path(folder))
    print(f"roadscribe {version} of {date}: installed and run; nothing was published")
    for path in (wheel, sdist):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
