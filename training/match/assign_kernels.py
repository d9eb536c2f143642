"""Numba kernels of the assignment: exact, of labels to whole predictions or to all pieces of a prediction.

Minimise the cost so that each label is covered once, and each prediction takes at most one label as a whole, or as many
labels of one class as it has pieces, each piece one of them. That is the binary programme of mixed assignment with its
joint constraint, without a list of subsets: the cheapest subset for a prediction is an assignment itself.

Give every label a price and let each prediction do what pays it most: prices less gains are a bound of every solution
from below (Lagrangian relaxation of covering each label once). Prices rise where a label is not covered and fall where
several want it, until the bound meets the best solution found. Where it does not, the search branches on whether one
prediction is taken in pieces. Once that is fixed for all, what is left is an ordinary assignment.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

FORBIDDEN = 1e6  # above any sum of costs
_UNCOVERED = 1e4  # of a label that no prediction is left for
_EPS = 1e-7
_OPEN, _WHOLE = -2, -1  # choices for a prediction; others are the class that its pieces take
_ROOM = 256  # choices that wait to be tried
_TRY_EVERY = 8  # steps of the prices
_PATIENCE = 12  # steps without a better bound

# whole (Q, T), piece_cost (Q, K, T), piece_count (Q, 2), areas (C), classes (T); labels of each class: how many (C) and
# which (C, T)
_Problem = namedtuple("_Problem", "whole piece_cost piece_count areas classes of_class members")
# The best solution: its cost is in best[0]
_Best = namedtuple("_Best", "best taker piece")


@njit(cache=True, nogil=True)
def assign(cost, rows, columns, column_of, u, v):
    """Assign each of the first rows of a cost matrix one of the first columns, rows <= columns; return the least cost.

    Writes the columns and the dual values u of rows and v <= 0 of columns, u_i + v_j <= cost_ij. Shortest augmenting
    paths (Jonker and Volgenant 1987; Crouse 2016 for rectangular matrices).
    """
    row_of = np.empty(columns, np.int64)
    shortest, parent = np.empty(columns), np.empty(columns, np.int64)
    done = np.empty(columns, np.bool_)
    for k in range(columns):
        row_of[k], v[k] = -1, 0.0
    for i in range(rows):  # who has a cheapest column of its own keeps it
        best = 0
        for k in range(1, columns):
            if cost[i, k] < cost[i, best]:
                best = k
        u[i], column_of[i] = cost[i, best], -1
        if row_of[best] < 0:
            row_of[best], column_of[i] = i, best
    for first in range(rows):
        if column_of[first] >= 0:
            continue
        for k in range(columns):
            shortest[k], done[k] = np.inf, False
        i, j, reached = first, -1, 0.0
        while True:
            best_cost, j = np.inf, -1
            for k in range(columns):
                if not done[k]:
                    through = reached + cost[i, k] - u[i] - v[k]
                    if through < shortest[k]:
                        shortest[k], parent[k] = through, i
                    if shortest[k] < best_cost:
                        best_cost, j = shortest[k], k
            reached, done[j] = best_cost, True
            if row_of[j] < 0:
                break
            i = row_of[j]
        u[first] += reached
        for k in range(columns):
            if done[k] and k != j:
                u[row_of[k]] += reached - shortest[k]
                v[k] -= reached - shortest[k]
        while True:
            i = parent[j]
            row_of[j] = i
            column_of[i], j = j, column_of[i]
            if i == first:
                break
    total = 0.0
    for i in range(rows):
        total += cost[i, column_of[i]]
    return total


@njit(cache=True, nogil=True)
def _may(problem, p, c):
    """Return whether the pieces of a prediction could take labels of a class."""
    count = problem.piece_count[p, problem.areas[c]]
    return 2 <= count <= min(problem.piece_cost.shape[1], problem.of_class[c])


@njit(cache=True, nogil=True)
def _gain(problem, p, c, u, limit, subset):
    """Return the least cost of giving all pieces of a prediction labels of class c, less their prices; write those.

    From `limit` on a bound from below.
    """
    cost, count = problem.piece_cost[p], problem.piece_count[p, problem.areas[c]]
    columns, members = problem.of_class[c], problem.members[c]
    total, apart = 0.0, True
    for s in range(count):
        least, subset[s] = np.inf, -1
        for k in range(columns):
            t = members[k]
            if cost[s, t] - u[t] < least:
                least, subset[s] = cost[s, t] - u[t], t
        total += least
        for other in range(s):
            apart = apart and subset[other] != subset[s]
    if apart or total >= limit:  # each piece has its favourite, or it does not matter who gets it
        return total
    reduced, column_of = np.empty((count, columns)), np.empty(count, np.int64)
    for k in range(columns):
        for s in range(count):
            reduced[s, k] = cost[s, members[k]] - u[members[k]]
    total = assign(reduced, count, columns, column_of, np.empty(count), np.empty(columns))
    for s in range(count):
        subset[s] = members[column_of[s]]
    return total


@njit(cache=True, nogil=True)
def _take_pieces(problem, choice, p, u, value, option, subsets, subset):
    """Let prediction `p` be taken in pieces where prices u (T) make that better than its value so far.

    Writes its value, option and labels; `subset` (K) is scratch.
    """
    for c in range(len(problem.areas)):
        if (choice[p] == _OPEN or choice[p] == c) and _may(problem, p, c):
            gain = _gain(problem, p, c, u, value[p], subset)
            if gain < value[p]:
                value[p], option[p] = gain, c
                for s in range(subsets.shape[1]):
                    subsets[p, s] = subset[s] if s < problem.piece_count[p, problem.areas[c]] else -1


@njit(cache=True, nogil=True)
def _relaxed(problem, choice, u, value, option, subsets, cover):
    """Return the bound of prices u (T), and write what each prediction does under them.

    Writes for each prediction its value and option (a class for its pieces, or -1), the labels that it takes (Q, K), -1
    for none, and how often each label is covered (T).
    """
    most, bound = subsets.shape[1], 0.0
    subset = np.empty(most, np.int64)
    for t in range(len(u)):
        bound += min(u[t], _UNCOVERED)
        cover[t] = 1 if u[t] > _UNCOVERED else 0
    for p in range(len(choice)):
        value[p], option[p] = 0.0 if choice[p] < 0 else np.inf, _WHOLE
        for s in range(most):
            subsets[p, s] = -1
        if choice[p] < 0:
            for t in range(len(u)):
                if problem.whole[p, t] - u[t] < value[p]:
                    value[p], subsets[p, 0] = problem.whole[p, t] - u[t], t
        _take_pieces(problem, choice, p, u, value, option, subsets, subset)
        bound += value[p]
        for s in range(most):
            if subsets[p, s] >= 0:
                cover[subsets[p, s]] += 1
    return bound


@njit(cache=True, nogil=True)
def _costs(problem, choice, cost):
    """Write the costs of labels: of wholes, of pieces that must be taken, of staying uncovered; return how many."""
    predictions, labels = problem.whole.shape
    columns = predictions
    for p in range(predictions):
        for t in range(labels):
            cost[t, p] = problem.whole[p, t] if choice[p] < 0 else FORBIDDEN
        if choice[p] < 0:
            continue
        for s in range(problem.piece_count[p, problem.areas[choice[p]]]):
            for t in range(labels):
                allowed = problem.classes[t] == choice[p] and problem.piece_cost[p, s, t] < FORBIDDEN
                # So cheap that every piece is taken, if that is possible at all.
                cost[t, columns] = problem.piece_cost[p, s, t] - 2 * FORBIDDEN if allowed else FORBIDDEN
            columns += 1
    if predictions < labels:
        for t in range(labels):
            for k in range(labels):
                cost[t, columns + k] = _UNCOVERED if t == k else FORBIDDEN
        columns += labels
    return columns


@njit(cache=True, nogil=True)
def _try(problem, choice, found, u):
    """Solve what is left once it is chosen who is taken in pieces; keep it if it is the best. Writes the prices."""
    predictions, labels = problem.whole.shape
    pieces = 0
    for p in range(predictions):
        pieces += problem.piece_count[p, problem.areas[choice[p]]] if choice[p] >= 0 else 0
    if pieces > labels:
        return
    cost = np.empty((labels, predictions + pieces + labels))
    columns = _costs(problem, choice, cost)
    column_of, taken, at, total = np.empty(labels, np.int64), 0, predictions, 0.0
    assign(cost, labels, columns, column_of, u, np.empty(columns))
    taker, piece = np.full(labels, -1), np.full(labels, -1)
    for t in range(labels):
        if column_of[t] < predictions:
            taker[t] = column_of[t]
            total += problem.whole[taker[t], t] if choice[taker[t]] < 0 else FORBIDDEN
        elif column_of[t] >= predictions + pieces:
            total += _UNCOVERED
    for p in range(predictions):
        for s in range(problem.piece_count[p, problem.areas[choice[p]]] if choice[p] >= 0 else 0):
            for t in range(labels):
                if column_of[t] == at:
                    taker[t], piece[t] = p, s
                    total += problem.piece_cost[p, s, t]
                    taken += 1
            at += 1
    if taken == pieces and total < found.best[0] - _EPS:
        found.best[0] = total
        for t in range(labels):
            found.taker[t], found.piece[t] = taker[t], piece[t]


@njit(cache=True, nogil=True)
def _agreed(problem, choice, u, value, option, subsets):
    """Return who is taken in pieces (Q) when those that gain most go first, and others look again at what is left.

    Changes what `_relaxed` wrote.
    """
    chosen, left, most = np.full(len(value), _WHOLE), u.copy(), subsets.shape[1]
    subset = np.empty(most, np.int64)
    while True:
        first = -1
        for p in range(len(value)):
            if option[p] >= 0 and (first < 0 or value[p] < value[first]):
                first = p
        if first < 0:
            return chosen
        free = True
        for t in subsets[first]:
            free = free and (t < 0 or left[t] > -FORBIDDEN)
        if free:
            chosen[first], option[first] = option[first], _WHOLE
            for t in subsets[first]:
                if t >= 0:
                    left[t] = -2 * FORBIDDEN
            continue
        value[first], option[first] = 0.0, _WHOLE
        _take_pieces(problem, choice, first, left, value, option, subsets, subset)


@njit(cache=True, nogil=True)
def _ascend(problem, choice, u, most_steps, found):
    """Improve prices u (T) while that helps; return their bound, the steps taken, and the prediction to fix or -1.

    Polyak's subgradient steps. The prediction to fix is the one in pieces whose labels others want most.
    """
    predictions, labels = problem.whole.shape
    value, option = np.empty(predictions), np.empty(predictions, np.int64)
    subsets, cover = np.empty((predictions, problem.piece_cost.shape[1]), np.int64), np.empty(labels)
    top, scale, idle, step, fix, at = -np.inf, 1.0, 0, 0, -1, u.copy()
    while True:
        bound = _relaxed(problem, choice, at, value, option, subsets, cover)
        idle = 0 if bound > top + 1e-3 * abs(found.best[0] - top) else idle + 1
        norm = 0.0
        for t in range(labels):
            norm += (1.0 - cover[t]) ** 2
        if bound > top:
            top, fix, most = bound, -1, 0.0
            for t in range(labels):
                u[t] = at[t]
            for p in range(predictions):
                excess = 0.5 if choice[p] == _OPEN and option[p] >= 0 else -np.inf
                for t in subsets[p]:
                    excess += max(0.0, cover[t] - 1.0) if t >= 0 else 0.0
                if excess > most:
                    fix, most = p, excess
        if top >= found.best[0] - _EPS:
            break
        if step % _TRY_EVERY == 0 or norm == 0.0:
            _try(problem, _agreed(problem, choice, at, value, option, subsets), found, np.empty(labels))
        if norm == 0.0 or idle >= _PATIENCE or step >= most_steps or top >= found.best[0] - _EPS:
            break
        scale *= 0.5 if idle > 0 and idle % 3 == 0 else 1.0
        for t in range(labels):
            at[t] += scale * (found.best[0] - bound) / norm * (1.0 - cover[t])
        step += 1
    return top, step, fix


@njit(cache=True, nogil=True)
def assign_mixed(whole, piece_cost, piece_count, areas, classes, most_steps, taker, piece):
    """Write for each label the prediction that takes it and the piece, -1 for a whole; return whether it is optimal.

    `whole` (Q, T); `piece_cost` (Q, K, T), FORBIDDEN for labels that pieces may not take; `piece_count` (Q, 2) of
    predictions as open lines and as rings; `areas` (C) whether labels of a class are rings, 0 or 1; `classes` (T). A
    label for which no prediction is left has the taker -1. After `most_steps` changes of prices the best found so far
    stands; it is never worse than the best of wholes.
    """
    predictions, labels = whole.shape
    of_class, members = np.zeros(len(areas), np.int64), np.empty((len(areas), labels), np.int64)
    for t in range(labels):
        members[classes[t], of_class[classes[t]]] = t
        of_class[classes[t]] += 1
    problem = _Problem(whole, piece_cost, piece_count, areas, classes, of_class, members)
    found = _Best(np.full(1, np.inf), taker, piece)
    stack, prices = np.empty((_ROOM, predictions), np.int64), np.empty((_ROOM, labels))
    depth, steps, proven = 1, 0, True
    for p in range(predictions):
        stack[0, p] = _WHOLE
        for c in range(len(areas)):
            if _may(problem, p, c):
                stack[0, p], depth = _OPEN, 2
    _try(problem, np.full(predictions, _WHOLE), found, prices[0])
    depth -= 1  # nobody has pieces: nothing to search
    while depth > 0:
        depth -= 1
        choice, u = stack[depth].copy(), prices[depth].copy()
        bound, spent, fix = _ascend(problem, choice, u, most_steps - steps, found)
        steps += spent
        if bound >= found.best[0] - _EPS:
            continue
        if steps >= most_steps:
            return False
        for p in range(predictions):
            fix = p if fix < 0 and choice[p] == _OPEN else fix
        if fix < 0:
            _try(problem, choice, found, u)
            continue
        for c in range(-1, len(areas)):
            if c < 0 or _may(problem, fix, c):
                if depth == _ROOM:
                    proven = False
                    break
                for p in range(predictions):
                    stack[depth, p] = choice[p]
                for t in range(labels):
                    prices[depth, t] = u[t]
                stack[depth, fix] = c
                depth += 1
    return proven
