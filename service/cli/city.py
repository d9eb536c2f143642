"""`roadscribe city`: write a drive through the demo city, with id images and its true map."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from recon.demo_city.config import CityConfig
from recon.errors import PathRefused, storage_errors
from service.cli.demo import write_city
from service.cli.terminal import put


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(city)


def city(
    folder: Annotated[Path, typer.Argument(help="New or empty folder for the drive.")],
    seed: Annotated[int, typer.Option(help="Streets, houses and surfaces.")] = 7,
    condition: Annotated[Literal["day", "dusk", "night", "wet"], typer.Option(help="Light and weather.")] = "day",
    trip: Annotated[int, typer.Option(help="Another trip through the same streets; odd ones run back.")] = 0,
    frames: Annotated[
        int | None, typer.Option(help="Keyframes: 30, or with --map as many as its path holds.", show_default=False)
    ] = None,
    spacing: Annotated[float, typer.Option(help="Metres between keyframes.")] = 4.0,
    width: Annotated[int, typer.Option(help="Image width in pixels.")] = 480,
    height: Annotated[int, typer.Option(help="Image height in pixels.")] = 270,
    pose_noise: Annotated[float, typer.Option(help="Noise of the written poses in metres.")] = 0.0,
    heading_noise: Annotated[float, typer.Option(help="Noise of the written headings in degrees.")] = 0.0,
    camera_offset: Annotated[float, typer.Option(help="Longest delay of a camera in ms.")] = 0.0,
    lidar: Annotated[bool, typer.Option(help="Write LiDAR turns too.")] = True,
    map_log: Annotated[
        Path | None,
        typer.Option("--map", help="Argoverse 2 log whose map and path take the place of the seed's streets."),
    ] = None,
    dash: Annotated[float, typer.Option(help="Length of dashes on a mapped street in metres.")] = 3.0,
    gap: Annotated[float, typer.Option(help="Gap between dashes on a mapped street in metres.")] = 6.0,
    layout: Annotated[
        Literal["drive_folder", "nuscenes"], typer.Option(help="Write a drive folder, or a data root as nuScenes'.")
    ] = "drive_folder",
    as_json: Annotated[bool, typer.Option("--json", help="Print the drive's name and folder as JSON.")] = False,
) -> None:
    """Write a synthetic drive with known truth: images, id images, LiDAR, true map and true poses.

    With --map the streets are those of a real map: drivable area, paint, crossings, terrain and the log's own path.

    Example: roadscribe city night_drive --seed 12 --condition night
    """
    if map_log is not None:
        map_log = map_log.absolute()
        frames = _frames_on(map_log, frames, spacing)
    config = CityConfig(
        seed=seed,
        condition=condition,
        trip=trip,
        frames=30 if frames is None else frames,
        spacing_m=spacing,
        width_px=width,
        height_px=height,
        pose_noise_m=pose_noise,
        pose_noise_deg=heading_noise,
        camera_offset_ms=camera_offset,
        with_lidar=lidar,
        map_log=str(map_log or ""),
        dash_m=dash,
        gap_m=gap,
    )
    folder = folder.absolute()
    with storage_errors(str(folder)):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PathRefused("the folder holds other files", where=str(folder), hint="Name a new or empty folder.")
    plain = CityConfig()
    names = [field.name for field in dataclasses.fields(config) if field.name not in ("cameras", "lidar")]
    changed = {name: getattr(config, name) for name in names if getattr(config, name) != getattr(plain, name)}
    write_city(folder, changed | ({"layout": layout} if layout != "drive_folder" else {}))
    put(json.dumps({"folder": str(folder), "seed": seed, "condition": condition}) if as_json else folder)


def _frames_on(log: Path, frames: int | None, spacing_m: float) -> int:
    """Return the number of frames along a log's path; a log that cannot be used is refused before anything is drawn."""
    # numba takes a second to import, and other commands do without.
    from recon.demo_city.plan.read_streets import frames_along, read_streets

    if not 0.1 <= spacing_m <= 20.0:
        return 1 if frames is None else frames  # the settings are checked next
    count = frames_along(log, spacing_m) if frames is None else frames
    plain = CityConfig()
    read_streets(
        log,
        driven_m=(count - 1) * spacing_m,
        dash_m=plain.dash_m,
        gap_m=plain.gap_m,
        rng=np.random.default_rng(0),
    )
    return count
