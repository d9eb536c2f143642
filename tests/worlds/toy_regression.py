"""The smallest training that uses everything the loop offers: a net with dropout and batch norm learns a parabola.

Run as a program, it trains until it is killed or told to stop:
python toy_regression.py OUT STEPS SECONDS_PER_EXAMPLE [SETTINGS AS JSON].
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.engine.config import LoopConfig
from training.engine.loader import batches
from training.engine.loop import run
from training.engine.process_group import ProcessGroup
from training.engine.signals import stop_on_signals
from training.engine.task import Evaluation, Group

CPU = torch.device("cpu")
CONFIG = LoopConfig(steps=12, batch=4, learning_rate=0.02, warmup_steps=3, save_every=5, validate_every=6, threads=1)

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass
class ToyTask:
    """Learns y = x^2 from points that are drawn anew for every step."""

    config: LoopConfig = CONFIG
    data: str = "parabola"
    bad_step: int = -1  # whose targets are not finite
    seconds: float = 0.0  # that an example takes

    def net(self, device: torch.device) -> torch.nn.Module:
        layers = (torch.nn.Linear(1, 16), torch.nn.BatchNorm1d(16), torch.nn.Tanh(), torch.nn.Dropout(0.02))
        self.device = device
        return torch.nn.Sequential(*layers, torch.nn.Linear(16, 1)).to(device)

    def groups(self, net: torch.nn.Module) -> list[Group]:
        named = dict(net.named_parameters())
        first = [named.pop(name) for name in ("0.weight", "0.bias")]
        return [Group(parameters=first, rate=0.5, decays=False), Group(parameters=list(named.values()))]

    def data_digest(self) -> str:
        return self.data

    def batches(self, first: int, group: ProcessGroup) -> Iterator[Pair]:
        for points in batches(self._point, self.config, first, group):
            x, y = torch.tensor(points).unbind(dim=1)
            yield x[:, None].to(self.device), y[:, None].to(self.device)

    def forward(self, net: torch.nn.Module, batch: Pair) -> torch.Tensor:
        return net(batch[0])

    def terms(self, output: torch.Tensor, batch: Pair, group: ProcessGroup) -> Mapping[str, torch.Tensor]:
        return {"square": (output.float() - batch[1]).square().mean(), "size": 1e-3 * output.float().abs().mean()}

    def evaluate(self, net: torch.nn.Module, step: int) -> Evaluation:
        x = torch.linspace(-1.0, 1.0, 21, device=self.device)[:, None]
        with torch.no_grad():
            error = (net(x) - x.square()).abs()
        picture = np.repeat((error.clamp(0, 1) * 255).byte().cpu().numpy()[None], 3, axis=2)
        return Evaluation(scalars={"error/mean": float(error.mean())}, pictures={"error": picture})

    def _point(self, step: int, place: int) -> tuple[float, float]:
        time.sleep(self.seconds)
        x = float(np.random.default_rng((self.config.seed, step, place)).uniform(-1, 1))
        return x, float("nan") if step == self.bad_step else x * x


class PlainTask(ToyTask):
    """A net without batch norm and dropout: what an example adds to a gradient does not depend on the others."""

    def net(self, device: torch.device) -> torch.nn.Module:
        self.device = device
        layers = (torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        return torch.nn.Sequential(*layers).to(device)


def main() -> None:
    from dataclasses import replace

    config = replace(CONFIG, steps=int(sys.argv[2]), **json.loads(sys.argv[4] if len(sys.argv) > 4 else "{}"))
    with stop_on_signals() as stopped:
        task = ToyTask(config=config, seconds=float(sys.argv[3]))
        outcome = run(Path(sys.argv[1]), task, config, CPU, resume=True, should_stop=stopped)
    print("stopped" if outcome.stopped else "done", outcome.step, flush=True)


if __name__ == "__main__":
    main()
