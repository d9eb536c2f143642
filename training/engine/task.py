"""What a training brings to the loop: its net, its batches, its loss and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch

from recon.arrays import U8
from training.engine.process_group import ProcessGroup

Batch = TypeVar("Batch")
Output = TypeVar("Output")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Parameters with the same learning rate and weight decay."""

    parameters: Sequence[torch.nn.Parameter]
    rate: float = 1.0  # times the learning rate
    decays: bool = True  # whether weight decay applies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What is measured and drawn while a net trains; names may hold slashes, which group them."""

    scalars: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, U8] = field(default_factory=dict)  # RGB (H, W, 3)


class Task(Protocol[Batch, Output]):
    """One kind of training. Whatever must survive a stop is in the state_dict of its net: nothing else is saved.

    Several processes may train one net, each with a task of its own. A step's gradient is the mean over the processes
    and over the parts of each, so a term that is normalised by a count takes the mean of the counts from `group.mean`.
    Of buffers (statistics of batch norms) the first process's are kept.

    Randomness: the loop seeds PyTorch's generator anew before the net is made and before every step, so that a net may
    draw from it. Batches draw from generators of their own that depend on the seed and the step alone.
    """

    def net(self, device: torch.device) -> torch.nn.Module:
        """Return the net as training begins, on the device."""

    def groups(self, net: torch.nn.Module) -> Sequence[Group]:
        """Return the parameters to train, each in one group."""

    def data_digest(self) -> str:
        """Return a digest of the data: a run is not continued with others."""

    def batches(self, first: int, group: ProcessGroup) -> Iterator[Batch]:
        """Yield this process's parts of the batches of all steps from `first` on, `accumulate` parts for each step.

        Batch n depends on the seed and n alone; the process takes its `group.places`.
        """

    def forward(self, net: torch.nn.Module, batch: Batch) -> Output:
        """Return what the net makes of a batch; runs in the precision of the settings."""

    def terms(self, output: Output, batch: Batch, group: ProcessGroup) -> Mapping[str, torch.Tensor]:
        """Return the terms of the loss, float32 scalars with their weights, by the same names at every step.

        Their sum is minimised. The gradient of a step is the mean over its parts. A term that is normalised by a count,
        such as the matched elements, is so within each part: an element among few then weighs more than in one batch.
        """

    def evaluate(self, net: torch.nn.Module, step: int) -> Evaluation:
        """Measure the averaged net, which must stay as it is; the first process does."""
