"""Numba kernels that match all decoder layers of one sample: pieces of predictions, their costs, and the assignment."""

from __future__ import annotations

import numpy as np
from numba import njit

from training.match.assign_kernels import FORBIDDEN, assign_mixed
from training.match.cut_kernels import arc_lengths, known_runs, length_at, most_runs, pieces, resample

WHOLE = -1  # in place of a number of pieces
_TIE = 1e-5  # relative: costs are in float32


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "contract"})
def _l1(a, b):
    """Return the L1 distance of chains (2 P): a loop that compilers turn into vector instructions."""
    total = np.float32(0.0)
    for i in range(len(a)):
        total += abs(a[i] - b[i])
    return total


@njit(cache=True, nogil=True)
def nearest_orders(chains, orders, distance):
    """Write the least L1 distance (N, T) of chains (N, 2 P) from the orders (T, V, 2 P) of each target."""
    for n in range(len(chains)):
        for t in range(orders.shape[0]):
            best = np.float32(np.inf)
            for k in range(orders.shape[1]):
                best = min(best, _l1(chains[n], orders[t, k]))
            distance[n, t] = best


@njit(cache=True, nogil=True)
def best_order(a, b, turns):
    """Return the shift of a and whether b is reversed, of the orders of two chains (P, 2) that fit best in L1.

    Chains that lie beside each other are equally far in any order: then the better order in L2 counts, so that
    rounding does not decide which way a label runs.
    """
    count, best, best_product, shift, flip = len(a), np.inf, -np.inf, 0, False
    for s in range(turns):
        for reverse in (False, True):
            distance, product = 0.0, 0.0
            for i in range(count):
                k = i + s if i + s < count else i + s - count
                m = count - 1 - i if reverse else i
                for d in range(2):
                    distance += abs(a[k, d] - b[m, d])
                    product += a[k, d] * b[m, d]
            near = abs(distance - best) <= _TIE * (1.0 + best)
            if product > best_product if near else distance < best:
                best, best_product, shift, flip = distance, product, s, reverse
    return shift, flip


@njit(cache=True, nogil=True)
def _at(points, index, fraction, chain):
    """Write the points of a chain (P, 2) at the places of `resample`."""
    count = len(points)
    for k in range(count):
        i = index[k]
        j = i + 1 if i + 1 < count else 0
        for d in range(2):
            chain[k, d] = points[i, d] + np.float32(fraction[k]) * (points[j, d] - points[i, d])


@njit(cache=True, nogil=True)
def cut_predictions(points, depth, least_cells, along, first, last, count, share):
    """Write the pieces of predictions (Q, P, 2) as open lines and as rings (Q, 2, K), their number and known share.

    The number is WHOLE where a prediction is known throughout, and exceeds the room K where it has too many pieces.
    `along` (Q, P + 1) are lengths in cells, which are square; unit coordinates are not.
    """
    queries, length = points.shape[0], points.shape[1]
    room = most_runs(length, depth)
    starts, stops, xy = np.empty(room), np.empty(room), np.empty((length, 2))
    for q in range(queries):
        for i in range(length):
            xy[i, 0], xy[i, 1] = points[q, i, 0] * depth.shape[1], points[q, i, 1] * depth.shape[0]
        runs, _ = known_runs(xy, True, depth, 1, True, starts, stops)
        along[q] = arc_lengths(xy)
        for ring in range(2):
            total = length_at(along[q], length - 1.0 + ring)
            kept, known, whole = pieces(
                starts, stops, runs, along[q], ring == 1, least_cells, first[q, ring], last[q, ring]
            )
            share[q, ring] = 1.0 if whole else known / total if total > 0.0 else 0.0
            count[q, ring] = WHOLE if whole else kept


@njit(cache=True, nogil=True)
def _cost_pieces(
    points, class_cost, areas, classes, touching, chains, points_weight, along, first, last, count, whole, piece_cost,
    single,
):  # fmt: skip
    """Write costs (Q, K, T) of pieces, and lower those of wholes (Q, T) where an only piece fits better: `single`."""
    length, targets = points.shape[1], len(classes)
    index, fraction, chain = np.empty(length, np.int64), np.empty(length), np.empty((length, 2), np.float32)
    orders, flat = np.empty((targets, 2, 2 * length), np.float32), chain.reshape(-1)
    piece_cost[:] = FORBIDDEN
    single[:] = False
    for t in range(targets):
        for i in range(length):
            for d in range(2):
                orders[t, 0, 2 * i + d], orders[t, 1, 2 * i + d] = chains[t, i, d], chains[t, length - 1 - i, d]
    for q in range(len(points)):
        for ring in range(2):
            number = count[q, ring]
            for s in range(number if number <= first.shape[2] else 0):
                resample(along[q], first[q, ring, s], last[q, ring, s], index, fraction)
                _at(points[q], index, fraction, chain)
                for t in range(targets):
                    if not touching[t] or areas[classes[t]] != ring:
                        continue
                    distance = min(_l1(flat, orders[t, 0]), _l1(flat, orders[t, 1]))
                    cost = points_weight * distance + class_cost[q, classes[t]]
                    if number > 1:
                        piece_cost[q, s, t] = cost
                    elif cost < whole[q, t]:
                        whole[q, t], single[q, t] = cost, True


@njit(cache=True, nogil=True)
def match_layers(
    points, class_cost, full_cost, depth, areas, group_areas, classes, groups, turning, touching, shapes, chains,
    points_weight, least_cells, most_pieces, most_steps, taker, masked, index, fraction, flip, share,
):  # fmt: skip
    """Match every layer of one sample; return how many layers are not proven to be optimal.

    Reads points (L, Q, P, 2), class_cost (L, Q, C), full_cost (L, Q, T) of whole shapes, depth of the mask (h, w), the
    ring classes (C) and groups (G), and of targets: classes, groups, turning, touching (T), shapes and chains
    (T, P, 2). Only targets of one group can be those of one prediction's pieces. Writes for each
    target taker and masked (L, T), the places on the prediction (L, T, P) that its points belong to, and whether it is
    reversed, flip (L, T); and shares (L, Q, 2).
    """
    layers, queries, length = points.shape[0], points.shape[1], points.shape[2]
    targets, unproven = len(classes), 0
    along = np.empty((queries, length + 1))
    first, last = np.empty((queries, 2, most_pieces)), np.empty((queries, 2, most_pieces))
    count, whole = np.empty((queries, 2), np.int64), np.empty((queries, targets))
    piece_cost, piece = np.empty((queries, most_pieces, targets)), np.empty(targets, np.int64)
    single, chain = np.empty((queries, targets), np.bool_), np.empty((length, 2), np.float32)
    for layer in range(layers):
        cut_predictions(points[layer], depth, least_cells, along, first, last, count, share[layer])
        for q in range(queries):
            for t in range(targets):
                whole[q, t] = full_cost[layer, q, t]
        _cost_pieces(
            points[layer], class_cost[layer], areas, classes, touching, chains, points_weight, along, first, last,
            count, whole, piece_cost, single,
        )  # fmt: skip
        if not assign_mixed(whole, piece_cost, count, group_areas, groups, most_steps, taker[layer], piece):
            unproven += 1
        for t in range(targets):
            q, ring = taker[layer, t], areas[classes[t]]
            masked[layer, t] = q >= 0 and (piece[t] >= 0 or single[q, t])
            if masked[layer, t]:
                s = max(piece[t], 0)
                resample(along[q], first[q, ring, s], last[q, ring, s], index[layer, t], fraction[layer, t])
                _at(points[layer, q], index[layer, t], fraction[layer, t], chain)
                _, flip[layer, t] = best_order(chain, chains[t], 1)
            elif q >= 0:
                shift, flip[layer, t] = best_order(points[layer, q], shapes[t], length if turning[t] else 1)
                for i in range(length):
                    index[layer, t, i] = (i + shift) % length
                    fraction[layer, t, i] = 0.0
    return unproven
