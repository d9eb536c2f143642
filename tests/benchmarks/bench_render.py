"""Compare the renderers: `python tests/benchmarks/bench_render.py` (or `make bench`).

One image of 400 x 225 pixels with 10 channels shows a road from a height of 1.5 m. A step is forward and full backward
over height, tilt, scale, opacity and features. `cpu` and `vectorized` (the same algorithm in float32 torch operations)
alternate in one process, so that their ratio is reliable on a busy machine. `reference` (every ray with every surfel)
uses a part of the image and of the road and is extrapolated. Peak memory is measured in a separate process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from recon.render import cpu, reference, vectorized
from recon.render.surfels import Rays, Renderer, Surfels

RENDERERS: dict[str, Renderer] = {"cpu": cpu.render, "vectorized": vectorized.render, "reference": reference.render}
FLOAT_FIELDS = ("z", "tilt", "log_scale", "opacity", "features")
WIDTH_PX, HEIGHT_PX, FOCAL_PX, CAMERA_M, REACH_M = 400, 225, 250.0, 1.5, 20.0


def road(cells: int, channels: int = 10, cell_m: float = 0.1) -> Surfels:
    """Return a slightly rough square road of cells x cells surfels."""
    generator = torch.Generator().manual_seed(17)
    count = cells * cells
    row, column = torch.meshgrid(*[torch.arange(cells, dtype=torch.int32)] * 2, indexing="ij")
    return Surfels(
        index=torch.arange(count, dtype=torch.int32).reshape(cells, cells),
        row=row.reshape(-1),
        column=column.reshape(-1),
        cell_m=cell_m,
        z=0.002 * torch.randn(count, generator=generator),
        tilt=0.01 * torch.randn(count, 2, generator=generator),
        log_scale=torch.full((count, 2), 0.6 * cell_m).log(),
        opacity=torch.full((count,), 2.0),
        features=torch.rand(count, channels, generator=generator),
        geometry_channels=3,
    )


def camera(surfels: Surfels) -> Rays:
    """Return the rays of all pixels that meet the road within reach."""
    row, column = torch.meshgrid(torch.arange(HEIGHT_PX) + 0.5, torch.arange(WIDTH_PX) + 0.5, indexing="ij")
    right, down = (column - WIDTH_PX / 2) / FOCAL_PX, (row - HEIGHT_PX / 2) / FOCAL_PX
    direction = torch.stack([right, torch.ones_like(right), -down], dim=-1).reshape(-1, 3)
    direction = direction[direction[:, 2] < -CAMERA_M / REACH_M].contiguous()
    middle = surfels.index.shape[1] * surfels.cell_m / 2
    return Rays(origin=torch.tensor([middle, 0.5, CAMERA_M]), direction=direction, forward=torch.tensor([0.0, 1.0]))


def step(render: Renderer, surfels: Surfels, rays: Rays) -> float:
    """Run forward and backward once and return the seconds."""
    leaves = {name: getattr(surfels, name).clone().requires_grad_() for name in FLOAT_FIELDS}
    start = time.perf_counter()
    rendering = render(replace(surfels, **leaves), rays)
    torch.autograd.backward(
        [rendering.features, rendering.alpha], [torch.ones_like(rendering.features), torch.ones_like(rendering.alpha)]
    )
    return time.perf_counter() - start


def reference_part() -> tuple[Surfels, Rays]:
    """Return a road and rays small enough for brute force: 64 x 64 surfels, about 500 rays."""
    surfels = road(64)
    rays = camera(surfels)
    return surfels, replace(rays, direction=rays.direction[:: len(rays.direction) // 500].contiguous())


def memory_mib(name: str) -> float:
    """Return the peak resident memory of a process that runs three steps with one renderer."""
    command = [sys.executable, __file__, "--only", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def only(name: str) -> None:
    """Run three steps with one renderer and print this process's peak memory in MiB."""
    surfels = road(420)
    rays = camera(surfels)
    if name == "reference":
        surfels, rays = reference_part()
    for _ in range(3 if name != "none" else 0):
        step(RENDERERS[name], surfels, rays)
    # VmHWM, not ru_maxrss: the latter starts at the peak of the process that spawned this one.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="run one renderer and print its peak memory (used by itself)")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.only:
        only(arguments.only)
        return
    surfels = road(420)
    rays = camera(surfels)
    part_surfels, part_rays = reference_part()
    pairs = int(vectorized.contributions(surfels, rays).sum())
    seconds: dict[str, list[float]] = {name: [] for name in RENDERERS}
    for round_number in range(arguments.rounds + 2):
        for name in ("cpu", "vectorized"):
            taken = step(RENDERERS[name], surfels, rays)
            if round_number >= 2:  # the first rounds compile and warm up
                seconds[name].append(taken)
        if round_number < 3:
            seconds["reference"].append(step(reference.render, part_surfels, part_rays))
    part = len(part_surfels.z) * len(part_rays.direction)
    whole = len(surfels.z) * len(rays.direction)
    idle = memory_mib("none")
    print(f"{WIDTH_PX} x {HEIGHT_PX} pixels, {len(rays.direction)} road pixels, {surfels.features.shape[1]} channels,")
    print(f"{len(surfels.z)} surfels, {pairs} composited pairs ({pairs / len(rays.direction):.1f} a pixel), 2 threads")
    print(f"{'renderer':<12}{'ms/step':>10}{'steps/s':>10}{'Mpairs/s':>10}{'peak MiB':>10}  note")
    for name in RENDERERS:
        median = statistics.median(seconds[name])
        note = ""
        if name == "reference":
            median *= whole / part
            note = f"extrapolated from {len(part_rays.direction)} rays x {len(part_surfels.z)} surfels"
        peak = memory_mib(name) - idle
        print(f"{name:<12}{median * 1e3:>10.1f}{1 / median:>10.3g}{pairs / median / 1e6:>10.2f}{peak:>10.0f}  {note}")
    ratios = sorted(v / c for c, v in zip(seconds["cpu"], seconds["vectorized"], strict=True))
    quarter = len(ratios) // 4
    low, high = ratios[quarter], ratios[-1 - quarter]
    print(f"cpu is {statistics.median(ratios):.1f} x vectorized (quartiles {low:.1f}, {high:.1f})")


if __name__ == "__main__":
    main()
