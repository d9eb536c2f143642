"""The loss is lowest at the truth, pulls towards it, and does not see what is not labelled."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from recon.classes import CLASS_COUNT
from training.segmenter.criterion import Criterion


def output(masks: torch.Tensor, confident: float = 8.0) -> SimpleNamespace:
    classes = torch.full((masks.shape[0], CLASS_COUNT, CLASS_COUNT + 1), -confident)
    classes[:, range(CLASS_COUNT), range(CLASS_COUNT)] = confident
    return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks, auxiliary_logits=None)


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(terms.values())).sum()


def truth() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, CLASS_COUNT, (2, 6, 8), generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.one_hot(ids, CLASS_COUNT).permute(0, 3, 1, 2).float(), torch.ones(2, 6, 8)


def test_the_truth_costs_next_to_nothing() -> None:
    share, valid = truth()
    criterion = Criterion(one_query_per_class=True, device=torch.device("cpu"))
    right = criterion(output((share * 2 - 1) * 12), share, valid)
    wrong = criterion(output((share.roll(1, 1) * 2 - 1) * 12), share, valid)
    assert total(right) < 0.02
    assert total(wrong) > 100 * total(right)
    assert set(right) == {"nll", "dice", "bce", "query"}


def test_unlabelled_cells_change_nothing() -> None:
    share, valid = truth()
    valid[:, :, 4:] = 0.0
    share = share * valid[:, None]
    masks = torch.randn(2, CLASS_COUNT, 6, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    criterion = Criterion(one_query_per_class=True, device=torch.device("cpu"))
    first = total(criterion(output(masks), share, valid))
    first.backward()  # type: ignore[no-untyped-call]
    assert masks.grad is not None
    assert masks.grad[..., 4:].abs().max() == 0.0
    assert masks.grad[..., :4].abs().max() > 0.0
    other = masks.detach().clone()
    other[..., 4:] += 3.0
    assert total(criterion(output(other), share, valid)).item() == pytest.approx(first.item(), rel=1e-6)


def test_descending_the_loss_finds_the_truth() -> None:
    share, valid = truth()
    masks = torch.zeros(2, CLASS_COUNT, 6, 8, requires_grad=True)
    criterion = Criterion(one_query_per_class=True, device=torch.device("cpu"))
    optimizer = torch.optim.Adam([masks], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        total(criterion(output(masks), share, valid)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert torch.equal(masks.argmax(dim=1), share.argmax(dim=1))
