"""Numba kernels of the assignment: exact, of labels to whole predictions or to all pieces of a prediction.

Minimise the cost so that each label is covered once, and each prediction takes at most one label as a whole, or as many
labels of one class as it has pieces, each piece one of them. That is the binary programme of mixed assignment with its
joint constraint, without a list of subsets: the cheapest subset for a prediction is an assignment itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FORBIDDEN = 1e6  # above any sum of costs
_UNCOVERED = 1e4  # of a label that no prediction is left for
_EPS = 1e-9


@njit(cache=True, nogil=True)
def assign(cost, column_of, u, v):
    """Assign every row of a cost matrix (R, N), R <= N, a column of its own at least cost; return the cost.

    Writes the columns (R) and the dual values u (R) and v (N) <= 0, u_i + v_j <= cost_ij. Shortest augmenting paths
    (Jonker and Volgenant 1987; Crouse 2016 for rectangular matrices).
    """
    rows, columns = cost.shape
    row_of = np.full(columns, -1, np.int64)
    shortest = np.empty(columns)
    parent = np.empty(columns, np.int64)
    done = np.empty(columns, np.bool_)
    u[:] = 0.0
    v[:] = 0.0
    for first in range(rows):
        shortest[:] = np.inf
        done[:] = False
        i, j, reached = first, -1, 0.0
        while True:
            best, j = np.inf, -1
            for k in range(columns):
                if not done[k]:
                    through = reached + cost[i, k] - u[i] - v[k]
                    if through < shortest[k]:
                        shortest[k] = through
                        parent[k] = i
                    if shortest[k] < best or (shortest[k] == best and row_of[k] < 0 and j >= 0 and row_of[j] >= 0):
                        best, j = shortest[k], k
            reached = best
            done[j] = True
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
    for k in range(columns):
        if row_of[k] >= 0:
            column_of[row_of[k]] = k
            total += cost[row_of[k], k]
    return total


@njit(cache=True, nogil=True)
def cheapest_split(cost, prices, labels, column_of):
    """Return the least cost of giving every piece of one prediction a label of `labels`, less the labels' prices.

    `cost` (K, T) of pieces and labels; FORBIDDEN or more where that is impossible.
    """
    count = len(cost)
    if count > len(labels):
        return FORBIDDEN
    reduced = np.empty((count, len(labels)))
    for s in range(count):
        for j in range(len(labels)):
            reduced[s, j] = cost[s, labels[j]] - prices[labels[j]]
    return assign(reduced, column_of[:count], np.empty(count), np.empty(len(labels)))


@njit(cache=True, nogil=True)
def _base(whole, piece_cost, areas, classes, offers):
    """Return costs (T, Q + T + N) of labels: whole predictions, staying uncovered, pieces of the offers in turn."""
    labels, predictions = whole.shape
    width = predictions + labels
    for o in range(len(offers)):
        width += offers[o, 2]
    base = np.full((labels, width), FORBIDDEN)
    base[:, :predictions] = whole
    at = predictions + labels
    for t in range(labels):
        base[t, predictions + t] = _UNCOVERED
    for o in range(len(offers)):
        p, ring, count = offers[o]
        for t in range(labels):
            if areas[classes[t]] == ring:
                for s in range(count):
                    base[t, at + s] = piece_cost[p, s, t]
        at += count
    return base


@njit(cache=True, nogil=True)
def _restrict(base, choice, offers, classes, predictions):
    """Return the costs under choices: -2 is open, -1 no pieces, else all pieces for labels of that class."""
    cost = base.copy()
    at = predictions + len(base)
    for o in range(len(offers)):
        p, _, count = offers[o]
        if choice[o] == -1:
            cost[:, at : at + count] = FORBIDDEN
        elif choice[o] >= 0:
            cost[:, p] = FORBIDDEN
            for t in range(len(base)):
                for s in range(count):
                    if classes[t] != choice[o]:
                        cost[t, at + s] = FORBIDDEN
                    elif cost[t, at + s] < FORBIDDEN:
                        cost[t, at + s] -= 2 * FORBIDDEN  # every piece must be taken
        at += count
    return cost


@njit(cache=True, nogil=True)
def _broken(column_of, offers, classes, choice, predictions):
    """Return the first offer that a relaxed assignment takes in part, or in two ways; -1 if there is none."""
    labels = len(column_of)
    taken = np.zeros(len(offers), np.int64)
    at = predictions + labels
    for o in range(len(offers)):
        p, _, count = offers[o]
        other, mixed, of_class = o > 0 and offers[o - 1, 0] == p and taken[o - 1] > 0, False, -1
        for t in range(labels):
            if column_of[t] == p:
                other = True
            elif at <= column_of[t] < at + count:
                taken[o] += 1
                mixed = mixed or (of_class >= 0 and classes[t] != of_class)
                of_class = classes[t]
        if taken[o] < count and (choice[o] >= 0 or taken[o] > 0):
            return o
        if taken[o] > 0 and (other or mixed):
            return o
        at += count
    return -1


@njit(cache=True, nogil=True)
def _cost_of(base, column_of):
    total = 0.0
    for t in range(len(column_of)):
        total += base[t, column_of[t]]
    return total


@njit(cache=True, nogil=True)
def _offers(whole, piece_cost, piece_count, areas, classes, u, v):
    """Return offers (N, 3) of prediction, form and number of pieces that may pay, and for which classes (N, C).

    The prices of labels in the best assignment of wholes bound every solution from below: what cannot beat that
    assignment even if all other predictions do their best is left out.
    """
    predictions, class_count = whole.shape[1], len(areas)
    gain = np.full((predictions, class_count), np.inf)
    least = np.zeros(predictions)
    column_of = np.empty(len(classes), np.int64)
    for c in range(class_count):
        of_class = np.flatnonzero(classes == c)
        for p in range(predictions):
            count = piece_count[p, areas[c]]
            if 2 <= count <= min(len(of_class), piece_cost.shape[1]):
                gain[p, c] = cheapest_split(piece_cost[p, :count], u, of_class, column_of) - v[p]
                least[p] = min(least[p], gain[p, c])
    best, number = least.sum(), 0
    offers = np.empty((2 * predictions, 3), np.int64)
    allowed = np.zeros((2 * predictions, class_count), np.bool_)
    for p in range(predictions):
        for ring in range(2):
            for c in range(class_count):
                allowed[number, c] = areas[c] == ring and gain[p, c] + best - least[p] < -_EPS
            if allowed[number].any():
                offers[number] = p, ring, piece_count[p, ring]
                number += 1
    return offers[:number], allowed[:number]


@njit(cache=True, nogil=True)
def assign_mixed(whole, piece_cost, piece_count, areas, classes, most_nodes, taker, piece):
    """Write for each label the prediction that takes it and the piece, -1 for a whole; return whether it is optimal.

    `whole` (T, Q); `piece_cost` (Q, K, T), FORBIDDEN for labels that pieces may not take; `piece_count` (Q, 2) of
    predictions as open lines and as rings; `areas` (C) whether labels of a class are rings, 0 or 1; `classes` (T). A
    label for which no prediction is left has the taker -1. After `most_nodes` assignments in the search the best found
    so far stands; without any it is the best of wholes.
    """
    labels, predictions = whole.shape
    column_of, found = np.full(labels, -1, np.int64), np.empty(labels, np.int64)
    base = _base(whole, piece_cost, areas, classes, np.empty((0, 3), np.int64))
    u, v = np.empty(labels), np.empty(base.shape[1])
    best = assign(base, column_of, u, v)
    offers, allowed = _offers(whole, piece_cost, piece_count, areas, classes, u, v)
    count, nodes = len(offers), 0
    base = _base(whole, piece_cost, areas, classes, offers)
    v = np.empty(base.shape[1])
    stack = np.empty((1 + count * (len(areas) + 1), count), np.int64)
    stack[0] = -2
    depth = 1 if count > 0 else 0
    while depth > 0 and nodes < most_nodes:
        nodes += 1
        depth -= 1
        choice = stack[depth].copy()
        found[:] = -1
        assign(_restrict(base, choice, offers, classes, predictions), found, u, v)
        bound = _cost_of(base, found)
        if bound >= best - _EPS:
            continue
        o = _broken(found, offers, classes, choice, predictions)
        if o < 0:
            best = bound
            column_of[:] = found
        elif choice[o] < 0:  # else its pieces cannot all be taken
            for option in range(-1, len(areas)):
                if option < 0 or allowed[o, option]:
                    stack[depth] = choice
                    stack[depth, o] = option
                    depth += 1
    _read(column_of, offers, predictions, taker, piece)
    return depth == 0


@njit(cache=True, nogil=True)
def _read(column_of, offers, predictions, taker, piece):
    for t in range(len(column_of)):
        j = column_of[t]
        taker[t], piece[t] = (j, -1) if j < predictions else (-1, -1)
        at = predictions + len(column_of)
        for o in range(len(offers)):
            if at <= j < at + offers[o, 2]:
                taker[t], piece[t] = offers[o, 0], j - at
            at += offers[o, 2]
