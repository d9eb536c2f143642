"""The processes that train one net together: what each of them does, and what they exchange in a step."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """One process among `size`; with more than one, PyTorch's default process group must be there.

    Alone, every method returns at once and changes nothing.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # of what is exchanged

    def places(self, batch: int) -> range:
        """Return the places of a batch that this process takes: every `size`-th, so that each has as many."""
        return range(self.rank, batch, self.size)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes, without gradient: the normaliser of a loss, for example.

        Every process must call it as often, with the same shape. It does not wait for the GPU.
        """
        if self.size == 1:
            return value.detach()
        total = value.detach().float().clone()
        torch.distributed.all_reduce(total)
        return total / self.size

    def same(self, text: str) -> bool:
        """Return whether all processes have the same text; also waits for them."""
        if self.size == 1:
            return True
        found = zlib.crc32(text.encode())
        ends = torch.tensor([found, -found], device=self.device)
        torch.distributed.all_reduce(ends, op=torch.distributed.ReduceOp.MAX)
        return ends.tolist() == [found, -found]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def average(self, parameters: Sequence[torch.nn.Parameter], numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Average gradients in place, and `numbers` (n,) f32, in one exchange.

        Returns the means of the numbers, and for each parameter the share of processes that have a gradient of it; the
        others count as zero. Alone, that share is empty.
        """
        if self.size == 1:
            return numbers, numbers[:0]
        one, zero = numbers.new_ones(()), numbers.new_zeros(())  # on the GPU: a copy to it would wait
        used = torch.stack([zero if p.grad is None else one for p in parameters])
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([numbers, used, *(gradient.float().reshape(-1) for gradient in gradients)])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        sizes = [len(numbers), len(used), *(gradient.numel() for gradient in gradients)]
        means, shares, *parts = torch.split(flat, sizes)
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))
        return means, shares


ALONE = ProcessGroup()
