"""Runs the example notebooks from scratch, each in an empty folder; a cell that fails ends the run.

Usage: python examples/run.py [--write] [NOTEBOOK ...]; `--write` keeps the new outputs in the notebooks.
Needs the packages of the extra `dev` (nbclient, ipykernel).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
CELL_LIMIT_S = 600  # of one cell, on a busy machine
MAX_KB = 300  # a notebook is read in a browser and kept in git
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(path: Path) -> Any:
    """Return a notebook with fresh outputs. Raises CellExecutionError with the logs of the cell that failed."""
    notebook = nbformat.read(path, as_version=4)
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    environment["PYTHONUNBUFFERED"] = "1"
    with tempfile.TemporaryDirectory(prefix="roadscribe-example-") as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_LIMIT_S,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            for log in sorted(Path(folder).rglob("*.log")):
                error.add_note(f"{log.name}:\n{plain(log.read_text(encoding='utf-8', errors='replace'))[-2000:]}")
            raise
        for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
            if output["output_type"] == "stream":
                output["text"] = plain(output["text"])
        check_no_folder_of_this_machine(notebook, path, (folder, str(HERE.parent), str(Path.home())))
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    return notebook


def plain(text: str) -> str:
    """Return text without terminal codes, which some viewers of notebooks show as boxes."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def check_no_folder_of_this_machine(notebook: Any, path: Path, folders: tuple[str, ...]) -> None:
    """Raise ValueError if a printed output names a folder of the machine that ran the notebook."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            for folder in folders:
                if re.search(re.escape(folder) + r"(/|\b)", text):
                    raise ValueError(f"{path.name}: cell {number} prints the folder {folder}")


def main() -> int:
    """Run the named notebooks, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of this folder")
    parser.add_argument("--write", action="store_true", help="keep the new outputs in the notebooks")
    options = parser.parse_args()
    for path in options.notebooks or sorted(HERE.glob("*.ipynb")):
        started = time.monotonic()
        notebook = execute(path)
        data = nbformat.writes(notebook) + "\n"
        size_kb = len(data.encode()) / 1000
        print(f"{path.name}: {time.monotonic() - started:.0f} s, {size_kb:.0f} kB", flush=True)
        if size_kb > MAX_KB:
            raise ValueError(f"{path.name} has {size_kb:.0f} kB with its outputs, at most {MAX_KB}")
        if options.write:
            path.write_text(data, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
