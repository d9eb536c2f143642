"""Speed of matching: 50 predictions with 20 labels, a decoder layer and image, on one core; `make bench` prints it.

Cases: everything is known; vehicles hide parts of a street; and the worst one, bands of unknown cells across the patch
that cut every line, so that all 50 predictions are in pieces and all labels have one class and end at the mask's edge.
Costs, cutting and assignment count, and all of the copies; CPU time of the process, so that other processes on the
machine do not count. Beside it the mixed assignment as a binary programme with a column for each subset, handed to a
solver in a process of its own for each image and layer, as earlier work does. That solver is HiGHS (SciPy).
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from recon.arrays import F32, F64, I64, Bool
from training.data.train_batch import Labels
from training.match.assign_kernels import assign_mixed
from training.match.config import MatchConfig
from training.match.match import match
from training.match.targets import targets_of
from training.model.map_output import MapOutput

LAYERS, SAMPLES, QUERIES, LABELS, POINTS = 6, 4, 50, 20, 20
CLASSES, AREAS = 4, (False, True, False, False)
SHAPE = (400, 200)  # of the mask: 0.15 m cells


def lines(random: np.random.Generator, count: int) -> F32:
    """Return (count, P, 2) lines along a street, in unit coordinates."""
    at = np.linspace(0.02, 0.98, POINTS)
    across = random.uniform(0.05, 0.95, (count, 1)) + random.uniform(-0.1, 0.1, (count, 1)) * at
    bend = 0.02 * np.sin(random.uniform(0, 6, (count, 1)) + 4 * at)
    result: F32 = np.stack([across + bend, np.broadcast_to(at, across.shape)], axis=-1).clip(0, 1).astype(np.float32)
    return result


def street(random: np.random.Generator) -> Bool:
    """Return a mask (h, w) of a street on which vehicles hide the ground behind them."""
    known = np.ones(SHAPE, bool)
    for _ in range(8):
        r, c = random.integers(0, SHAPE[0] - 60), random.integers(0, SHAPE[1] - 20)
        known[r : r + random.integers(20, 60), c : c + random.integers(10, 20)] = False
    return known


def bands(pieces: int) -> Bool:
    """Return a mask (h, w) with unknown bands that cut every line along the street into so many pieces."""
    known = np.ones(SHAPE, bool)
    for edge in np.linspace(0, SHAPE[0], pieces + 1)[1:-1].astype(int):
        known[edge - 12 : edge + 12] = False
    return known


def case(name: str, seed: int, noise: float) -> tuple[MapOutput, Labels]:
    """Return an output and labels of a case; predictions are the labels with noise, in units of the patch."""
    random = np.random.default_rng(seed)
    pieces = int(name) if name.isdigit() else 1
    chains = [lines(random, LABELS // pieces) for _ in range(SAMPLES)]
    classes = np.zeros if pieces > 1 else lambda shape, kind: random.integers(0, CLASSES, shape).astype(kind)
    known = [np.ones(SHAPE, bool) if name == "known" else street(random) if pieces == 1 else bands(pieces)] * SAMPLES
    of_class = classes((SAMPLES, LABELS // pieces), np.int64)
    near = np.stack([chain[random.integers(0, len(chain), (LAYERS, QUERIES))] for chain in chains], axis=1)
    moved = near + noise * random.normal(size=(LAYERS, SAMPLES, QUERIES, 1, 2))
    shape = (SAMPLES, LABELS // pieces, POINTS)
    labels = Labels(
        points=torch.from_numpy(np.stack(chains)),
        classes=torch.from_numpy(of_class),
        closed=torch.from_numpy(of_class == 1),
        seen=torch.ones(shape),
        confidence=torch.ones(shape),
        known=torch.from_numpy(np.stack(known)),
        weight=torch.ones(SAMPLES),
        bev=torch.zeros(SAMPLES, CLASSES, 1, 1, dtype=torch.uint8),
    )
    output = MapOutput(
        logits=torch.from_numpy(random.normal(size=(LAYERS, SAMPLES, QUERIES, CLASSES)).astype(np.float32)),
        points=torch.from_numpy(moved.clip(0, 1).astype(np.float32)),
        one2one=QUERIES,
        instances=torch.zeros(SAMPLES, QUERIES, 1),
        bev=torch.zeros(SAMPLES, 1, 1, 1),
    )
    return output, labels


def measure(output: MapOutput, labels: Labels, config: MatchConfig) -> dict[str, float]:
    """Return milliseconds of a layer and image, of the targets of an image, and the share of proven optima."""
    targets = targets_of(labels, AREAS, config)
    match(output, targets, AREAS, config)
    spent = []
    for _ in range(5):
        start = time.process_time()
        found = match(output, targets, AREAS, config)
        spent.append(time.process_time() - start)
    start = time.process_time()
    targets_of(labels, AREAS, config)
    of_targets = time.process_time() - start
    problems = LAYERS * SAMPLES
    return {
        "targets": sum(map(len, targets)) / SAMPLES,
        "ms a layer and image": 1e3 * min(spent) / problems,
        "ms an image for its targets": 1e3 * of_targets / SAMPLES,
        "% proven optimal": 100.0 * (1 - found.unproven / problems),
    }


def problem_of(random: np.random.Generator) -> tuple[F64, F64, I64]:
    """Return costs (Q, T) of wholes and (Q, 2, T) of pieces, and numbers of pieces (Q, 2), of lines cut in two."""
    at = random.uniform(0.0, 1.0, QUERIES)
    labels = random.uniform(0.0, 1.0, LABELS // 2)
    own = 100.0 * np.abs(at[:, None] - labels)
    whole = 60.0 + np.concatenate([own, own], axis=1) + random.uniform(0, 1, (QUERIES, LABELS))
    piece = np.full((QUERIES, 2, LABELS), 50.0)
    piece[:, 0, : LABELS // 2] = piece[:, 1, LABELS // 2 :] = 0.0
    piece += np.concatenate([own, own], axis=1)[:, None] + random.uniform(0, 1, piece.shape)
    return whole, piece, np.full((QUERIES, 2), 2)


PROGRAMME = """
import sys
import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
given = np.load(sys.argv[1])
rows = csr_array((np.ones(len(given["row"])), (given["row"], given["column"])))
limits = LinearConstraint(rows, given["low"], given["high"])
print(milp(given["cost"], constraints=limits, integrality=np.ones(len(given["cost"])), bounds=Bounds(0, 1)).fun)
"""


def write_programme(path: Path, whole: F64, piece: F64) -> None:
    """Write the binary programme with a column for each prediction and label, and prediction and pair of labels."""
    queries, labels = whole.shape
    cost, row, column = list(whole.ravel()), [], []
    for q, t in itertools.product(range(queries), range(labels)):
        row += [t, labels + q]
        column += [q * labels + t] * 2
    for q in range(queries):
        for s, t in itertools.combinations(range(labels), 2):
            i, j = linear_sum_assignment(piece[q][:, [s, t]])
            row += [s, t, labels + q]
            column += [len(cost)] * 3
            cost.append(piece[q][i, np.array([s, t])[j]].sum())
    low = np.r_[np.ones(labels), np.zeros(queries)]
    np.savez(path, cost=cost, row=row, column=column, low=low, high=np.ones(labels + queries))


def solver_ratio(count: int) -> dict[str, float]:
    """Return milliseconds of our assignment and of the solver, start of its process included, on the same problems."""
    random, ours, theirs = np.random.default_rng(0), [], []
    classes, flags = np.zeros(LABELS, np.int64), np.zeros(1, np.int64)
    taker, piece_of = np.empty((2, LABELS), np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "programme.npz"
        for n in range(-1, count):
            whole, piece, number = problem_of(random)
            start = time.perf_counter()
            proven = assign_mixed(whole, piece, number, flags, classes, 100_000, taker, piece_of)
            middle = time.perf_counter()
            write_programme(path, whole, piece)
            done = subprocess.run(
                [sys.executable, "-c", PROGRAMME, str(path)], check=True, capture_output=True, text=True
            )
            stop = time.perf_counter()
            labels = np.arange(LABELS)
            cost = np.where(piece_of < 0, whole[taker, labels], piece[taker, np.maximum(piece_of, 0), labels]).sum()
            if not proven or abs(cost - float(done.stdout)) > 1e-5:
                raise SystemExit(f"problem {n}: {cost} here, {done.stdout.strip()} by the solver")
            if n >= 0:  # the first compiles
                ours.append(middle - start)
                theirs.append(stop - middle)
    return {
        "ms here": 1e3 * float(np.median(ours)),
        "ms by the solver": 1e3 * float(np.median(theirs)),
        "ratio": float(np.median(theirs) / np.median(ours)),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=5, help="solved by the solver")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, what in (
        ("known", "all known"),
        ("street", "street"),
        ("2", "2 pieces"),
        ("3", "3 pieces"),
        ("4", "4 pieces"),
    ):
        for noise in (0.003, 0.02, 0.1):
            figures = measure(*case(name, 0, noise), MatchConfig())
            print(f"{what:10} noise {noise:<6}", ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    print("assignment ", ", ".join(f"{key} {value:.2f}" for key, value in solver_ratio(args.problems).items()))


if __name__ == "__main__":
    main()
