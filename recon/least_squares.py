"""Sparse linear least squares with a quadratic prior, and its robust form by iteratively reweighted least squares.

Minimised over x (C,) is

    x' P x + sum over terms, over rows r: w_r (a_r . x - b_r)^2

In the robust form, one term gets new weights from its residuals before every round (Huber 1964; for the Cauchy loss the
weight is 1 / (1 + (residual / scale)^2)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from recon.arrays import F64

SAMPLES, SAMPLE_SEED = 64, 17  # of which a standard deviation is known to 9 %


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """R measurements that are linear in the unknowns."""

    matrix: csr_matrix  # (R, C)
    target: F64  # (R,)
    weight: F64  # (R,) inverse variance


def cauchy_weight(residual: F64, scale: float, *, weight: F64 | float = 1.0) -> F64:
    """Return the weights under the Cauchy loss: `weight` where the residual is 0, half of it at `scale`."""
    result: F64 = weight / (1.0 + (residual / scale) ** 2)
    return result


def solve(prior: csr_matrix, terms: Sequence[Term]) -> F64:
    """Return the minimiser (C,) for a prior P (C, C), which must make the system regular."""
    system, right = prior, np.zeros(prior.shape[0])
    for term in terms:
        system = system + _normal_matrix(term.matrix, term.weight)
        right = right + term.matrix.T @ (term.weight * term.target)
    return _solution(system, right)


def spread(prior: csr_matrix, terms: Sequence[Term]) -> F64:
    """Return the standard deviation (C,) of each unknown, in that of a measurement of weight 1.

    The prior (C, C) must be diagonal; whatever else is believed beforehand is a term. The inverse of the system is
    dense, so it is sampled: a minimiser of SAMPLES sets of noise in place of the targets. A set is drawn at a time:
    terms may have millions of rows.
    """
    noise = np.random.default_rng(SAMPLE_SEED)
    system, right = prior, np.sqrt(prior.diagonal())[:, None] * noise.standard_normal((prior.shape[0], SAMPLES))
    for term in terms:
        system = system + _normal_matrix(term.matrix, term.weight)
        transposed, root = term.matrix.T.tocsr(), np.sqrt(term.weight)
        for k in range(SAMPLES):
            right[:, k] += transposed @ (root * noise.standard_normal(len(root)))
    deviation: F64 = np.sqrt(np.mean(np.square(_solution(system, right)), axis=1))
    return deviation


def gauss_newton_step(prior: csr_matrix, jacobian: csr_matrix, weight: F64, gradient: F64) -> F64:
    """Return the change (C,) of x that minimises the linearised problem.

    `jacobian` (R, C) and `weight` (R,) belong to the residuals; `gradient` (C,) is half the gradient of the whole sum.
    """
    system = prior + _normal_matrix(jacobian, weight)
    return _solution(system, -gradient)


def _solution(system: csr_matrix, right: F64) -> F64:
    """Return x (C,) or (C, K) of a symmetric positive definite system: pivots on its diagonal are stable and sparse."""
    factors = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factors.solve(right), dtype=np.float64)


def _normal_matrix(matrix: csr_matrix, weight: F64) -> csr_matrix:
    result: csr_matrix = matrix.T @ diags(weight) @ matrix
    return result


def solve_robust(
    prior: csr_matrix,
    fixed: Sequence[Term],
    matrix: csr_matrix,
    target: F64,
    weight_of: Callable[[F64], F64],
    *,
    start: F64,
    rounds: int,
) -> F64:
    """Return x after some rounds in which `weight_of` turns the residuals target - matrix x (R,) into weights (R,)."""
    x = start
    for _ in range(rounds):
        x = solve(prior, [*fixed, Term(matrix=matrix, target=target, weight=weight_of(target - matrix @ x))])
    return x
