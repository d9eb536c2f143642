"""Write the demo drive: the child process of `roadscribe demo`. Progress leaves as JSON lines on stdout."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from recon.errors import RoadscribeError


def main(folder: Path) -> None:
    """Write the drive to `folder`."""
    from recon.demo_city.config import CityConfig
    from recon.demo_city.drive import write_demo_drive

    last = 0.0

    def tick(done: int, total: int, unit: str = "", /) -> None:
        nonlocal last
        if time.monotonic() - last > 0.2 or done >= total:
            last = time.monotonic()
            print(json.dumps({"done": int(done), "total": int(total), "unit": unit}), flush=True)

    write_demo_drive(folder, CityConfig(), tick)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except RoadscribeError as error:
        sys.exit(str(error))
