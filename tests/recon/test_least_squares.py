import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_matrix, diags

from recon.least_squares import Term, cauchy_weight, gauss_newton_step, solve, solve_robust, spread


@pytest.fixture
def generator():
    return np.random.default_rng(11)


def test_solve_agrees_with_dense_normal_equations(generator):
    matrix, target, weight = generator.normal(size=(20, 4)), generator.normal(size=20), generator.uniform(0.1, 2.0, 20)
    other = generator.normal(size=(3, 4))
    prior = np.diag(generator.uniform(0.5, 1.0, 4))
    terms = [
        Term(matrix=csr_matrix(matrix), target=target, weight=weight),
        Term(matrix=csr_matrix(other), target=np.ones(3), weight=np.full(3, 7.0)),
    ]
    found = solve(csr_matrix(prior), terms)
    system = prior + matrix.T @ (weight[:, None] * matrix) + 7.0 * other.T @ other
    right = matrix.T @ (weight * target) + 7.0 * other.T @ np.ones(3)
    np.testing.assert_allclose(found, np.linalg.solve(system, right), rtol=1e-10)


def test_spread_is_the_diagonal_of_the_inverse(generator):
    matrix, weight = generator.normal(size=(40, 5)) * [1.0, 3.0, 0.2, 1.0, 0.0], generator.uniform(0.1, 2.0, 40)
    ridge = diags(np.full(5, 0.3))
    term = Term(matrix=csr_matrix(matrix), target=generator.normal(size=40), weight=weight)
    wanted = np.sqrt(np.diag(np.linalg.inv(0.3 * np.eye(5) + matrix.T @ (weight[:, None] * matrix))))
    found = spread(csr_matrix(ridge), [term])
    np.testing.assert_allclose(found, wanted, rtol=0.3)  # of 64 samples: three standard errors
    assert np.array_equal(found, spread(csr_matrix(ridge), [term]))


def test_spread_needs_little_memory_for_many_measurements():
    rows, chosen = 300_000, np.arange(300_000) % 5
    matrix = csr_matrix((np.ones(rows), (np.arange(rows), chosen)), shape=(rows, 5))
    term = Term(matrix=matrix, target=np.zeros(rows), weight=np.ones(rows))
    tracemalloc.start()
    found = spread(csr_matrix(diags(np.full(5, 0.3))), [term])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(found, 1.0 / np.sqrt(60_000.3), rtol=0.3)
    assert most < 100 * rows  # bytes: 64 samples at once would take more than 500 a row


def test_one_gauss_newton_step_solves_a_linear_problem(generator):
    matrix, target, weight = generator.normal(size=(9, 3)), generator.normal(size=9), generator.uniform(0.1, 2.0, 9)
    prior, x = np.diag([0.5, 1.0, 2.0]), generator.normal(size=3)
    gradient = matrix.T @ (weight * (matrix @ x - target)) + prior @ x
    step = gauss_newton_step(csr_matrix(prior), csr_matrix(matrix), weight, gradient)
    term = Term(matrix=csr_matrix(matrix), target=target, weight=weight)
    np.testing.assert_allclose(x + step, solve(csr_matrix(prior), [term]), rtol=1e-9)


def test_cauchy_weight_halves_at_the_scale():
    np.testing.assert_allclose(cauchy_weight(np.array([0.0, 0.1, -0.1]), 0.1, weight=3.0), [3.0, 1.5, 1.5])


def test_robust_solution_ignores_outliers_that_pull_the_plain_one(generator):
    x = np.linspace(-1.0, 1.0, 60)
    matrix = csr_matrix(np.stack([x, np.ones(60)], axis=1))
    target = 2.0 * x + 1.0 + generator.normal(scale=0.01, size=60)
    target[::6] += 5.0
    prior = csr_matrix(diags(np.full(2, 1e-9)))
    plain = solve(prior, [Term(matrix=matrix, target=target, weight=np.ones(60))])
    robust = solve_robust(prior, [], matrix, target, lambda r: cauchy_weight(r, 0.05), start=plain, rounds=20)
    assert abs(plain[1] - 1.0) > 0.5
    np.testing.assert_allclose(robust, [2.0, 1.0], atol=0.02)


def test_no_round_returns_the_start():
    start = np.array([3.0])
    found = solve_robust(csr_matrix([[1.0]]), [], csr_matrix((0, 1)), np.zeros(0), np.ones_like, start=start, rounds=0)
    assert found is start
