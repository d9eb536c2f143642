"""Match the predictions of all decoder layers and samples with what is known of their labels.

As in MapTRv2 (section 3.2) with the mask of PseudoMapTrainer. A prediction that leaves the known cells is compared both
as it is and as what is left of it; a label at the edge of the mask may be only a part of what the prediction shows; and
a prediction that is cut into several pieces may take as many such labels of one class. Assignments are exact, but for
those whose search was cut short after `MatchConfig.most_steps`: `Matches.unproven` counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from recon.arrays import F32, AnyArray
from training.match.config import MatchConfig
from training.match.cost import costs_of
from training.match.match_kernels import match_layers
from training.match.matches import Matches
from training.match.targets import Targets
from training.model.map_output import MapOutput

Tensor = torch.Tensor


def match(
    output: MapOutput, targets: Sequence[Targets], areas: Sequence[bool], config: MatchConfig, *, threads: int = 1
) -> Matches:
    """Return the matches of predictions with the targets of each sample; `areas` (C) are classes whose rings are areas.

    One copy to the CPU, whatever the numbers of layers and samples; nothing of the result has a gradient. `threads`
    share the samples, with the same result.
    """
    points, class_cost, full_cost = costs_of(output, targets, config)
    layers, samples, queries, length = points.shape[:4]
    found: list[dict[str, AnyArray]] = [{}] * samples
    flags = np.asarray(areas, np.int64)
    group_flags = [np.zeros(one.groups.max(initial=0) + 1, np.int64) for one in targets]
    for of_groups, one in zip(group_flags, targets, strict=True):
        of_groups[one.groups] = flags[one.classes]

    def of_sample(b: int) -> int:
        one, shape = targets[b], (layers, len(targets[b]))
        made = {
            "taker": np.full(shape, -1, np.int64),
            "masked": np.zeros(shape, np.bool_),
            "index": np.zeros((*shape, length), np.int64),
            "fraction": np.zeros((*shape, length), np.float64),
            "flip": np.zeros(shape, np.bool_),
            "share": np.ones((layers, queries, 2), np.float32),
        }
        found[b] = made
        return int(
            match_layers(
                # A kernel is compiled anew for another layout of its arrays.
                *(np.ascontiguousarray(part[:, b]) for part in (points, class_cost, full_cost)),
                one.depth,
                flags,
                group_flags[b],
                one.classes,
                one.groups,
                one.turning,
                one.touching,
                one.shapes,
                one.chains,
                config.points_cost,
                config.least_piece_cells,
                config.most_pieces,
                config.most_steps,
                *made.values(),
            )
        )

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            unproven = sum(pool.map(of_sample, range(samples)))
    else:
        unproven = sum(map(of_sample, range(samples)))
    share = np.stack([made.pop("share") for made in found], axis=1)
    return _matches(found, targets, share, unproven, output.points.device)


def _matches(
    found: Sequence[dict[str, AnyArray]], targets: Sequence[Targets], share: F32, unproven: int, device: torch.device
) -> Matches:
    """Return the pairs of all samples as tensors."""
    parts: list[dict[str, AnyArray]] = []
    for b, (made, one) in enumerate(zip(found, targets, strict=True)):
        layer, target = np.nonzero(made["taker"] >= 0)
        pick = {name: made[name][layer, target] for name in made}
        masked, turn = pick["masked"], pick["flip"]
        goal = np.where(masked[:, None, None], one.chains[target], one.shapes[target])
        worth = np.where(masked[:, None], one.chain_worth[target], one.worth[target])
        parts.append(
            {
                "layer": layer,
                "sample": np.full(len(layer), b),
                "query": pick["taker"],
                "label": one.label[target],
                "classes": one.classes[target],
                "closed": one.closed[target] & ~masked,
                "masked": masked,
                "index": pick["index"],
                "fraction": pick["fraction"].astype(np.float32),
                "target": np.where(turn[:, None, None], goal[:, ::-1], goal),
                "worth": np.where(turn[:, None], worth[:, ::-1], worth),
            }
        )
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    tensors = {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in whole.items()}
    return Matches(**tensors, share=torch.from_numpy(share).to(device, non_blocking=True), unproven=unproven)
