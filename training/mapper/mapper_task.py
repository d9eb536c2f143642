"""The online-mapping model as a task of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import torch

from recon.artifact import digest_json
from training.data.collate import collate
from training.data.sampling import Examples
from training.data.train_batch import TrainBatch
from training.engine.loader import batches
from training.engine.process_group import ProcessGroup
from training.engine.task import Evaluation, Group
from training.loss.criterion import Criterion
from training.mapper.checkpoint_folder import load_weights
from training.mapper.config import MapperConfig
from training.mapper.first_shapes import first_shapes
from training.mapper.model_file import read_model_file
from training.mapper.pictures import sheet
from training.mapper.predict import predict_samples
from training.mapper.run_pools import open_run
from training.mapper.score import patch_of, scalar_names, scalars_of, score_of, spread
from training.match.targets import Targets
from training.model.map_output import MapOutput
from training.model.maptr import MapTR

Tensor = torch.Tensor
Show = Callable[[dict[str, Any]], None]

DRAWN_SCORE = 0.3  # predictions of a lower score are measured and not drawn
_EMBEDDINGS = ("decoder.queries.", "bev_encoder.place")  # tables: no decay


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """A batch, and what matching asks of its labels: made on the CPU while the step before runs."""

    batch: TrainBatch  # on the device
    targets: list[Targets]


class MapperTask:
    """Trains MapTR on shards; see `training.engine.task.Task`."""

    def __init__(
        self,
        config: MapperConfig,
        training: Sequence[Path],
        validation: Sequence[Path] = (),
        *,
        init: Path | None = None,
        show: Show = lambda _: None,
    ) -> None:
        """Open folders of shards to learn from and held-out ones; `show` gets each validation's record.

        `init` is the folder of a model whose weights training begins with. Raises what `open_run` raises.
        """
        self._config, self._init, self._show = config, init, show
        self._pools, self._held = open_run(config, training, validation)
        self._examples = Examples(self._pools, config.model, config.data, config.batch)
        every = [(pool, number) for pool in self._held for number in range(len(pool))]
        self._chosen = [every[i] for i in spread(len(every), config.validate_samples)]

    def net(self, device: torch.device) -> MapTR:
        """Return the model of the settings, with the weights of the one to go on from."""
        model = self._config.model
        net = MapTR(model, load=self._init is None)
        if self._init is not None:
            load_weights(self._init, net)
        else:
            shapes = first_shapes(self._pools, model, mirrored=self._config.data.augment.mirror > 0.0)
            if len(shapes):
                net.decoder.queries.start_at(torch.from_numpy(shapes))
        self._device = device
        self._criterion = Criterion(self._config.loss, model, threads=self._config.threads)
        return net.to(device)

    def groups(self, net: torch.nn.Module) -> list[Group]:
        """Return parameter groups: backbone or not, decayed matrices or not; a backbone of rate 0 is left as it is."""
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in net.named_parameters():
            backbone = name.startswith("backbone.")
            if backbone and self._config.backbone_rate == 0.0:
                parameter.requires_grad_(False)
                continue
            decays = parameter.ndim >= 2 and not name.startswith(_EMBEDDINGS)
            groups.setdefault((backbone, decays), []).append(parameter)
        return [
            Group(parameters=parameters, rate=self._config.backbone_rate if backbone else 1.0, decays=decays)
            for (backbone, decays), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
        ]

    def data_digest(self) -> str:
        """Return a digest of the samples that are learnt from, and of the model to go on from."""
        parts = [pool.digest for pool in self._pools]
        return digest_json(parts if self._init is None else [*parts, read_model_file(self._init)[1]["weights_sha256"]])

    def batches(self, first: int, group: ProcessGroup) -> Iterator[Step]:
        """Yield batches with what matching asks of their labels; errors of damaged samples name them."""
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        with closing(batches(self._examples.make, self._config, first, group)) as made:
            for examples in made:
                batch = collate(examples)
                targets = self._criterion.targets(batch.labels)
                yield Step(batch=batch.to(self._device), targets=targets)

    def forward(self, net: torch.nn.Module, batch: Step) -> MapOutput:
        """Return the output of all decoder layers and both branches."""
        output: MapOutput = net(batch.batch.views)
        return output

    def terms(self, output: MapOutput, batch: Step, group: ProcessGroup) -> Mapping[str, Tensor]:
        """Return the terms of `training.loss.criterion.Criterion`."""
        return self._criterion(output, batch.batch.labels, mean=group.mean, targets=batch.targets)

    def evaluate(self, net: torch.nn.Module, step: int) -> Evaluation:
        """Return mAP and AP of each class on the held-out samples, and pictures of a few of them."""
        if not self._chosen:
            return Evaluation()
        drawn = spread(len(self._chosen), self._config.draw_samples)
        samples, cameras = (pool.read(number) for pool, number in self._chosen), self._config.data.cameras
        patches, pictures = [], {}
        assert isinstance(net, MapTR)
        with closing(predict_samples(net, self._config.model, samples, device=self._device, cameras=cameras)) as found:
            for number, (sample, elements, _) in enumerate(found):
                patch = patch_of(sample, elements)
                patches.append(patch)
                if number in drawn:
                    sure = tuple(e for e in elements if e.score >= DRAWN_SCORE)
                    pictures[f"held_{number}"] = sheet(sample, replace(patch, predicted=sure))
        record = score_of(patches)
        self._show({"step": step, **record})
        return Evaluation(scalars=scalars_of(record), pictures=pictures)

    def scalar_names(self) -> list[str]:
        """Return the names of what `evaluate` measures, for the classes that the held-out labels hold."""
        rows = [pool.entries[number].row for pool, number in self._chosen]
        return scalar_names([name for name in self._config.model.classes if any(row[name] for row in rows)])

    def training_report(self) -> list[dict[str, Any]]:
        """Return what each pool holds, and what was left out."""
        return [pool.report() for pool in self._pools]

    def validation_report(self) -> list[dict[str, Any]]:
        """Return what is held out."""
        return [pool.report() for pool in self._held]
