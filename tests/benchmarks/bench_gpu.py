"""Compare the fit on CUDA with a plain gsplat loop: `python tests/benchmarks/bench_gpu.py`.

Without CUDA nothing is measured.

One image of 1600 x 900 pixels with 12 channels shows a road from a height of 1.5 m, up to 20 m ahead. A step is forward
and backward over all fields of 176,400 surfels. The plain loop uses `rasterization_2dgs` alone (all channels move
geometry, far splats are widened to a pixel) and torch's Adam over the whole site. Then a drive of the demo city is
fitted from its true id images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bench_render import CAMERA_M, FLOAT_FIELDS, REACH_M, road
from torch import Tensor

from recon.config import FitConfig, SegmentConfig
from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CityConfig
from recon.errors import ConfigInvalid
from recon.fit.fit import fit
from recon.formats.read_drive import read_drive
from recon.render import gsplat, gsplat_kernels, vectorized
from recon.render.auto_settings import RendererName
from recon.render.surfels import Raster, Rays, Renderer, Surfels, moved
from recon.segment.segment import segment
from recon.views.views import Trip

WIDTH_PX, HEIGHT_PX, FOCAL_PX, CELLS, CHANNELS = 1600, 900, 1260.0, 420, 12
CUDA = torch.device("cuda")
ROADSCRIBE = str(Path(sys.executable).with_name("roadscribe"))
# Rows are the camera's axes right, down and forward in the window; it faces north.
CAMERA_FROM_WINDOW = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
K = torch.tensor([[FOCAL_PX, 0.0, WIDTH_PX / 2], [0.0, FOCAL_PX, HEIGHT_PX / 2], [0.0, 0.0, 1.0]])


def camera(surfels: Surfels, *, scale: float = 1.0) -> Rays:
    """Return the rays of all pixels that meet the road within reach, of an image shrunk by `scale`."""
    width, height = round(WIDTH_PX * scale), round(HEIGHT_PX * scale)
    k = torch.diag(torch.tensor([scale, scale, 1.0])) @ K
    row, column = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([column, row, torch.ones_like(row)], dim=-1).reshape(-1, 3)
    direction = pixels @ torch.linalg.inv(k).T @ CAMERA_FROM_WINDOW
    usable = direction[:, 2] < -CAMERA_M / REACH_M
    return Rays(
        origin=torch.tensor([surfels.index.shape[1] * surfels.cell_m / 2, 0.5, CAMERA_M]),
        direction=direction[usable].contiguous(),
        forward=torch.tensor([0.0, 1.0]),
        raster=Raster(
            width_px=width,
            height_px=height,
            pixel_from_direction=k @ CAMERA_FROM_WINDOW,
            pixel=torch.nonzero(usable).squeeze(1),
        ),
    )


def step_of(render: Renderer, surfels: Surfels, rays: Rays) -> Callable[[], None]:
    """Return a function that runs forward and backward through one renderer."""

    def step() -> None:
        leaves = {name: getattr(surfels, name).clone().requires_grad_() for name in FLOAT_FIELDS}
        rendering = render(replace(surfels, **leaves), rays)
        (rendering.features.sum() + rendering.alpha.sum()).backward()  # type: ignore[no-untyped-call]

    return step


def plain_loop(library: Any, surfels: Surfels, rays: Rays) -> Callable[[], None]:
    """Return one step of a loop written with gsplat's public API, on the same road and image."""
    raster = rays.raster
    assert raster is not None
    x, y = ((cell + 0.5) * surfels.cell_m for cell in (surfels.column, surfels.row))
    viewmat = torch.eye(4, device=CUDA)
    viewmat[:3, :3] = CAMERA_FROM_WINDOW.to(CUDA)
    viewmat[:3, 3] = -(viewmat[:3, :3] @ rays.origin)
    leaves: dict[str, Tensor] = {
        "means": torch.stack([x, y, surfels.z], dim=1),
        "quats": torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=CUDA).repeat(len(x), 1),
        "scales": torch.nn.functional.pad(surfels.log_scale.exp(), (0, 1), value=1.0),
        "opacities": torch.sigmoid(surfels.opacity),
        # With a camera axis, which gsplat 1.5.3 needs, and zero-padded to a number of channels that its kernels
        # support: its own padding is uninitialised.
        "colors": torch.nn.functional.pad(surfels.features, (0, 4))[None],
    }
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    adam = torch.optim.Adam(list(leaves.values()), lr=1e-4)

    def step() -> None:
        size = raster.width_px, raster.height_px
        image, alpha, *_ = library.rasterization_2dgs(
            **leaves, viewmats=viewmat[None], Ks=K.to(CUDA)[None], width=size[0], height=size[1]
        )
        (image.sum() + alpha.sum()).backward()
        adam.step()
        adam.zero_grad()

    return step


def measure(step: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Return the median seconds of a step and its peak GPU memory in MiB beyond what was held before."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), (torch.cuda.max_memory_allocated() - held) / 2**20


def fit_of(trip: Trip, renderer: RendererName) -> None:
    """Fit a drive and print its seconds, steps per second and GPU memory."""
    ticks: list[tuple[int, float]] = []

    def tick(done: int, total: int, unit: str = "", /) -> None:
        if unit == "steps":
            ticks.append((done, time.perf_counter()))

    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    surface = fit([trip], FitConfig(renderer=renderer), tick)
    end = time.perf_counter()
    (first, began), (last, ended) = ticks[0], ticks[-1]
    mib = torch.cuda.max_memory_allocated() / 2**20
    print(
        f"fit, {renderer:<10}{end - start:>7.1f} s, of which {ended - began:.1f} s steps: "
        f"{(last - first) / (ended - began):.1f} steps/s, {surface.count} surfels, {mib:.0f} MiB of the GPU"
    )


def drive_of(folder: Path, frames: int) -> Trip:
    """Write a drive of the demo city with images of the benchmark's size, labelled by its true ids."""
    city = CityConfig(frames=frames, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    write_demo_drive(folder / "drive", city, threads=os.cpu_count() or 1)
    drive = read_drive(folder / "drive")
    return Trip(drive=drive, labels=segment(drive, SegmentConfig(), folder / "labels"))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--frames", type=int, default=40, help="of the drive that is fitted; 0: none")
    parser.add_argument("--with-cpu", action="store_true", help="fit it with the cpu renderer too")
    parser.add_argument("--whole", action="store_true", help="also run `roadscribe label` on it, as a user would")
    arguments = parser.parse_args()
    try:
        library = gsplat_kernels.load()
    except ConfigInvalid as error:
        print(f"nothing measured: {error}")
        return
    here = road(CELLS, CHANNELS)
    surfels, rays = moved(here, CUDA), moved(camera(here), CUDA)
    steps = {
        "gsplat": step_of(gsplat.render, surfels, rays),
        "vectorized": step_of(vectorized.render, surfels, rays),
        "plain loop": plain_loop(library, surfels, rays),
    }
    print(f"{torch.cuda.get_device_name()}, gsplat {library.__version__}, torch {torch.__version__}")
    print(f"{WIDTH_PX} x {HEIGHT_PX} pixels, {len(rays.direction)} rays, {len(surfels.z)} surfels, {CHANNELS} channels")
    print(f"{'renderer':<12}{'ms/step':>10}{'steps/s':>10}{'peak MiB':>10}")
    for name, step in steps.items():
        seconds, mib = measure(step, arguments.rounds)
        print(f"{name:<12}{seconds * 1e3:>10.2f}{1 / seconds:>10.1f}{mib:>10.0f}")
    if arguments.frames:
        with tempfile.TemporaryDirectory() as folder:
            trip = drive_of(Path(folder), arguments.frames)
            for renderer in ("gsplat", *(("cpu",) if arguments.with_cpu else ())):
                fit_of(trip, renderer)
            if arguments.whole:
                start = time.perf_counter()
                subprocess.run([ROADSCRIBE, "label", f"{folder}/drive", f"{folder}/out"], check=True)
                print(f"the whole drive: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
