"""Make the shards of the experiments: towns of the demo city, labelled by the real pipeline and from their true maps.

    python -m training.experiments.make_data OUT --first 9001 --towns 24

Each town is one drive by day through streets of its own, with more traffic than usual, so that much is occluded.
OUT gets `pseudo/<town>` (labels of one trip from true class ids) and `true/<town>` (the true map); with `--trips 4`
also `pseudo-4/<town>`: labels of the same keyframes by the site that four trips make together. Only the shards in
`pseudo` hold images, small ones, and their class ids; the others take them from there (`ShardPool.open`, `pictures`).
What is finished is kept, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.artifact import atomic_folder
from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CityConfig
from training.experiments.command import roadscribe

PICTURES = ("--set", "pack.with_images=true", "--set", "pack.with_ids=true", "--set", "pack.jpeg_quality=80")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """How the towns of an experiment are driven."""

    keyframes: int = 40
    spacing_m: float = 4.0
    drawn_px: tuple[int, int] = (400, 240)
    stored_px: tuple[int, int] = (320, 192)
    traffic: float = 1.5
    condition: str = "day"
    trips: int = 1
    reach_m: float = 0.0  # of the ground that labels are made from, before the camera; 0 = the pipeline's default

    def city(self, seed: int, trip: int) -> CityConfig:
        """Return the settings of one trip through a town."""
        return CityConfig(
            seed=seed,
            trip=trip,
            frames=self.keyframes,
            spacing_m=self.spacing_m,
            width_px=self.drawn_px[0],
            height_px=self.drawn_px[1],
            traffic=self.traffic,
            condition=self.condition,  # type: ignore[arg-type]  # checked there
        )


def make_town(out: Path, seed: int, config: DataConfig) -> None:
    """Draw, label and pack one town unless that is done; what is drawn is removed again."""
    town, work = f"{seed}-{config.condition}", out / "work" / str(seed)
    wanted = [out / "pseudo" / town, out / "true" / town]
    wanted += [out / f"pseudo-{config.trips}" / town] if config.trips > 1 else []
    if all(folder.is_dir() for folder in wanted):
        return
    drives = [work / f"trip{trip}" for trip in range(config.trips)]
    for trip, drive in enumerate(drives):
        if not (drive / "drive.json").is_file():
            start = time.monotonic()
            write_demo_drive(drive, config.city(seed, trip), threads=1)
            print(f"{time.monotonic() - start:6.1f} s  draw {drive}", file=sys.stderr, flush=True)
    size = ("--set", f"pack.image_px=[{config.stored_px[0]},{config.stored_px[1]}]")
    reach = ("--set", f"fit.max_distance_m={config.reach_m}") if config.reach_m else ()
    if not wanted[0].is_dir():
        roadscribe("label", drives[0], work / "one", *PICTURES, *size, *reach)
        _publish(work / "one" / "shards", wanted[0])
    if not wanted[1].is_dir():
        roadscribe("truth", drives[0], work / "true", *size)
        _publish(work / "true", wanted[1])
    if config.trips > 1 and not wanted[2].is_dir():
        roadscribe("aggregate", work / "many", *drives, *size, *reach)
        _publish(work / "many" / "shards" / "1", wanted[2])
    shutil.rmtree(work)


def _publish(shards: Path, folder: Path) -> None:
    with atomic_folder(folder) as scratch:
        shutil.copytree(shards, scratch, dirs_exist_ok=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the towns one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the shards")
    parser.add_argument("--first", type=int, default=9001, help="seed of the first town (9001)")
    parser.add_argument("--towns", type=int, default=24, help="how many (24)")
    parser.add_argument("--trips", type=int, default=1, help="through each town (1)")
    parser.add_argument("--keyframes", type=int, default=40, help="of a trip (40)")
    parser.add_argument("--drawn", type=int, nargs=2, default=(400, 240), help="pixels of the drives' images (400 240)")
    parser.add_argument(
        "--stored", type=int, nargs=2, default=(320, 192), help="pixels of the shards' images (320 192)"
    )
    parser.add_argument("--traffic", type=float, default=1.5, help="share of the usual traffic (1.5)")
    parser.add_argument("--reach", type=float, default=0.0, help="metres before the camera that labels are made from")
    parser.add_argument("--condition", default="day", help="day, dusk, night or wet (day)")
    given = parser.parse_args(arguments)
    config = DataConfig(
        trips=given.trips,
        keyframes=given.keyframes,
        condition=given.condition,
        traffic=given.traffic,
        drawn_px=tuple(given.drawn),
        stored_px=tuple(given.stored),
        reach_m=given.reach,
    )
    for seed in range(given.first, given.first + given.towns):
        make_town(given.out, seed, config)


if __name__ == "__main__":
    main()
