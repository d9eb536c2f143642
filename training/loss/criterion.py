"""The loss of a model's output against labels: matches, and then one term after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from recon.arrays import F32
from training.data.train_batch import Labels
from training.loss.config import LossConfig
from training.loss.dense_terms import bev_term, depth_term, views_term
from training.loss.raster_term import raster_term
from training.loss.set_terms import class_term, direction_term, points_term
from training.loss.term import Term
from training.match.match import match
from training.match.matches import Matches
from training.match.targets import Targets, targets_of
from training.model.config import ModelConfig
from training.model.map_output import MapOutput

Tensor = torch.Tensor


class Criterion:
    """Named weighted terms of the loss, float32 scalars. Knows nothing of the network but its output."""

    def __init__(
        self,
        config: LossConfig,
        model: ModelConfig,
        *,
        threads: int = 1,
    ) -> None:
        """Take settings; `threads` of the CPU match samples side by side, with the same result."""
        self._areas = tuple(name in config.area_classes for name in model.classes)
        self._config, self._model, self._threads = config, model, threads

    def targets(self, labels: Labels) -> list[Targets]:
        """Return what the labels of each sample ask; labels on a CPU need no GPU for it, so it can be done ahead."""
        return targets_of(self._seen(labels), self._areas, self._config.match, worth=self._worth(labels))

    def __call__(
        self,
        output: MapOutput,
        labels: Labels,
        *,
        mean: Callable[[Tensor], Tensor] = lambda counts: counts,
        targets: list[Targets] | None = None,
    ) -> dict[str, Tensor]:
        """Return the terms, the same at every step of a model; labels lie on the output's device.

        `mean` gives the mean of counts (N,) over processes, and is called once. `targets` are those of the labels, if
        they were made before.
        """
        config, labels = self._config, self._seen(labels)
        targets = self.targets(labels) if targets is None else targets
        weight = labels.weight.float()
        terms = self._set_terms(output.branch(many=False), labels, targets)
        if output.points.shape[2] > output.one2one and config.many_weight > 0:
            repeated = [one.repeated(self._model.repeats) for one in targets]
            for name, (scale, term) in self._set_terms(output.branch(many=True), labels, repeated).items():
                terms[f"many_{name}"] = config.many_weight * scale, term
        if output.bev_logits is not None and config.bev_weight > 0:
            term = bev_term(output.bev_logits.float(), labels.bev, labels.known, config.bev_positive_weight, weight)
            terms["bev"] = config.bev_weight, term
        if output.view_logits is not None and config.views_weight > 0:
            terms["views"] = config.views_weight, views_term(output.view_logits.float(), labels.views, weight)
        if output.depth_logits is not None and config.depth_weight > 0:
            term = depth_term(output.depth_logits.float(), labels.depth, self._model.depth_m, weight)
            terms["depth"] = config.depth_weight, term
        counts = mean(torch.stack([term.count.float() for _, term in terms.values()])).clamp_min(1.0)
        return {
            name: scale * term.total / count for (name, (scale, term)), count in zip(terms.items(), counts, strict=True)
        }

    def _set_terms(self, branch: MapOutput, labels: Labels, targets: list[Targets]) -> dict[str, tuple[float, Term]]:
        """Return the terms of one branch, over all its layers, and their weights."""
        config, patch = self._config, self._model.patch
        matches: Matches = match(branch, targets, self._areas, config.match, threads=self._threads)
        logits, points, weight = branch.logits.float(), branch.points.float(), labels.weight.float()
        areas = torch.tensor(self._areas, device=points.device)
        size_m = points.new_tensor((patch.width_m, patch.length_m))
        terms = {"class": (config.class_weight, class_term(logits, matches, areas, weight))}
        if config.points_weight > 0:
            terms["points"] = config.points_weight, points_term(points, matches, weight)
        if config.direction_weight > 0:
            terms["direction"] = config.direction_weight, direction_term(points, matches, size_m, weight)
        if config.raster_weight > 0:
            term = raster_term(points, matches, areas, labels.known, config.raster_px, weight)
            terms["raster"] = config.raster_weight, term
        return terms

    def _seen(self, labels: Labels) -> Labels:
        """Return the labels as the loss sees them."""
        if self._config.mask_aware:
            return labels
        return replace(labels, known=torch.ones_like(labels.known))

    def _worth(self, labels: Labels) -> F32 | None:
        """Return the weight (B, M, P) of the labels' points, if any."""
        parts = [
            part
            for used, part in ((self._config.use_confidence, labels.confidence), (self._config.use_seen, labels.seen))
            if used
        ]
        return None if not parts else torch.stack(parts).prod(dim=0).float().cpu().numpy()
