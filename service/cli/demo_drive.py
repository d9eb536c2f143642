"""Write a drive through the demo city: a child process of the CLI. Progress leaves as JSON lines on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from recon.errors import RoadscribeError
from recon.progress import throttled
from service.cli.terminal import put

REPORT_EVERY_S = 0.2


def main(folder: Path, settings: dict[str, Any]) -> None:
    """Write the drive of these CityConfig settings to `folder`; "layout" among them names the layout."""
    from recon.demo_city.city_drive import write_demo_drive
    from recon.demo_city.city_nuscenes import write_demo_nuscenes
    from recon.demo_city.config import CityConfig

    layout = settings.pop("layout", "drive_folder")

    def report(done: int, total: int, unit: str = "", /) -> None:
        put(json.dumps({"done": int(done), "total": int(total), "unit": unit}), flush=True)

    tick = throttled(report, REPORT_EVERY_S)
    if layout == "nuscenes":
        write_demo_nuscenes(folder, CityConfig(**settings), tick)
    else:
        write_demo_drive(folder, CityConfig(**settings), tick)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
    except RoadscribeError as error:
        sys.exit(str(error))
