import numpy as np
import torch

from recon.fit import adam_kernels


def test_rows_move_as_torch_adam_moves_them() -> None:
    generator = np.random.default_rng(0)
    parameters = generator.normal(size=(5, 3)).astype(np.float32)
    rates = np.array([0.1, 0.01, 0.001], np.float32)
    leaves = [torch.tensor(parameters[:, i], requires_grad=True) for i in range(3)]
    betas = (adam_kernels.BETA_1, adam_kernels.BETA_2)
    groups = [{"params": [leaf], "lr": float(rate)} for leaf, rate in zip(leaves, rates, strict=True)]
    adam = torch.optim.Adam(groups, betas=betas, eps=adam_kernels.EPSILON)
    first, second = np.zeros_like(parameters), np.zeros_like(parameters)
    steps, rows = np.zeros(5, np.int32), np.arange(5)
    wide = np.full(3, np.inf, np.float32)
    for _ in range(6):
        gradient = generator.normal(size=(5, 3)).astype(np.float32)
        adam_kernels.update(rows, gradient, parameters, first, second, steps, rates, -wide, wide)
        for i, leaf in enumerate(leaves):
            leaf.grad = torch.tensor(gradient[:, i])
        adam.step()
    for i, leaf in enumerate(leaves):
        assert np.allclose(parameters[:, i], leaf.detach().numpy(), atol=1e-5)


def test_other_rows_stay_and_bounds_hold() -> None:
    parameters = np.zeros((4, 1), np.float32)
    state = [np.zeros((4, 1), np.float32) for _ in range(2)]
    low, high = np.array([-0.05], np.float32), np.array([0.05], np.float32)
    rate = np.array([0.1], np.float32)
    for _ in range(3):
        gradient = np.array([[1.0], [-1.0]], np.float32)
        adam_kernels.update(np.array([0, 2]), gradient, parameters, *state, np.zeros(4, np.int32), rate, low, high)
    assert np.allclose(parameters[:, 0], [-0.05, 0.0, 0.05, 0.0])
