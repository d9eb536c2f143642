"""The training loop of the segmenter."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from recon.artifact import write_atomic
from recon.classes import CLASS_COUNT, ClassMap
from recon.errors import ConfigInvalid, ModelInvalid, PathRefused, storage_errors
from recon.progress import Tick, silent
from recon.segment.checkpoint import PixelSpec
from recon.segment.mask2former import Mask2Former, device_of, load_net
from recon.segment.net_spec import class_map_path
from training.engine.events import EventWriter
from training.engine.loader import batches
from training.engine.state import load_state, save_state
from training.segmenter.config import TrainConfig
from training.segmenter.criterion import Criterion
from training.segmenter.export import export, model_card
from training.segmenter.preset import net_config
from training.segmenter.samples import Source, digest_of
from training.segmenter.score import score_of, spread

METRICS = "metrics.jsonl"
_LOG_EVERY = 20


def train(
    out: Path,
    config: TrainConfig,
    training: Sequence[Source],
    validation: Sequence[Source] = (),
    *,
    resume: bool = False,
    tick: Tick = silent,
    should_stop: Callable[[], bool] = lambda: False,
    show: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Path:
    """Train a net in `out` and return the folder of the checkpoint that it exports at the end.

    `out` gets metrics.jsonl, events/, state/ and net/. A run that `should_stop` ends finishes its step, saves and
    exports. Raises PathRefused when `out` holds a run and `resume` is not asked, ArtifactInvalid when its state does
    not fit, ConfigInvalid when an image is both learnt from and held out, ImageInvalid for a damaged image, and
    ModelInvalid, naming every term, when the loss is not finite.
    """
    _held_out(training, validation)
    _claim(out, resume)
    device = device_of(config.device)
    torch.set_num_threads(config.threads)
    net = _new_net(config).to(device, memory_format=torch.channels_last).train()
    ema = copy.deepcopy(net).eval()
    if device.type == "cpu":
        _reorder_norms(net)
    spec = PixelSpec(size_px=config.size_px, class_map="roadscribe")
    mean, std = (torch.tensor(value, device=device).view(3, 1, 1) for value in (spec.mean, spec.std))
    optimizer = torch.optim.AdamW(_groups(net, config), betas=(0.9, 0.99), weight_decay=config.weight_decay)
    criterion = Criterion(one_query_per_class=net.config.num_queries == CLASS_COUNT, device=device)
    meta = {"settings": _settings(config), "data": digest_of(list(training))}
    step = load_state(out, net, ema, optimizer, meta)
    log = _Log(out, step)
    stopped = False
    rounded = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    for images, share, valid in batches(training, config, net.config.common_stride, step):
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * _rate(step, config)
        pixels = ((images.to(device).float() / 255.0 - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            output = net(pixel_values=pixels, output_auxiliary_logits=True)
        terms = criterion(output, share.to(device).float() / 255.0, valid.to(device).float() / 255.0)
        if not bool(torch.isfinite(terms.total)):
            named = ", ".join(f"{name} {value:.4g}" for name, value in terms.values().items())
            hint = "Lower train.learning_rate, and continue with --resume from the state before."
            raise ModelInvalid(f"the loss of step {step} is not finite: {named}", where=str(out), hint=hint)
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), config.grad_clip)
        optimizer.step()
        step += 1
        _average(ema, net, min(config.ema, (1 + step) / (10 + step)))
        stopped = should_stop()
        if step % _LOG_EVERY == 0 or step == config.steps:
            rate = optimizer.param_groups[-1]["lr"]
            log.add(step, {**{f"loss/{k}": v for k, v in terms.values().items()}, "norm": float(norm), "rate": rate})
        if validation and (step % config.validate_every == 0 or step == config.steps):
            show({"step": step, **_validate(ema, spec, validation, config, device, log, step)})
        if stopped or step % config.save_every == 0 or step == config.steps:
            save_state(out, step, net, ema, optimizer, meta)
        tick(step, config.steps, "steps")
        if stopped:
            break
    return _export(out, ema, spec, config, step, training, validation)


def _held_out(training: Sequence[Source], validation: Sequence[Source]) -> None:
    learnt, held = ({s.image.resolve() for source in part for s in source.samples} for part in (training, validation))
    if both := learnt & held:
        hint = "Hold out other drives: what was learnt by heart says nothing about what was learnt."
        raise ConfigInvalid(f"{len(both)} images are in --data and --validation", where=str(min(both)), hint=hint)


def _claim(out: Path, resume: bool) -> None:
    if not resume and ((out / "state").exists() or (out / METRICS).exists()):
        raise PathRefused("the folder holds a training run", where=str(out), hint="Add --resume, or name another one.")
    with storage_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)


def _new_net(config: TrainConfig) -> Any:
    import transformers

    torch.manual_seed(config.seed)
    kind: Any = transformers.Mask2FormerForUniversalSegmentation
    if not config.start_from:
        return kind(net_config(config.preset))
    net = load_net(Path(config.start_from))
    if net.config.num_labels != CLASS_COUNT:
        # The queries know what they found in other classes; only what they are called is learnt anew.
        names = net_config("tiny")
        net.class_predictor = torch.nn.Linear(net.config.hidden_dim, CLASS_COUNT + 1)
        net.config.id2label, net.config.label2id = names.id2label, names.label2id
        net.criterion = type(net.criterion)(config=net.config, weight_dict=net.weight_dict)
    return net


def _reorder_norms(net: torch.nn.Module) -> None:
    """Give group norms their channels first: its backward pass on a CPU takes ten times as long with channels last."""
    for module in net.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
            module.register_forward_hook(lambda _, __, made: made.contiguous(memory_format=torch.channels_last))


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Return what must not change between parts of a run; JSON, so that it equals what a file gives back."""
    free = ("steps", "validate_every", "validate_images", "save_every", "loader_threads", "threads", "device")
    return dict(json.loads(json.dumps({k: v for k, v in asdict(config).items() if k not in free})))


def _groups(net: Any, config: TrainConfig) -> list[dict[str, Any]]:
    """Return parameter groups: backbone or not, decayed matrices or not."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        decays = parameter.ndim >= 2 and "embed" not in name
        groups.setdefault((".encoder." in name and "pixel_level_module" in name, decays), []).append(parameter)
    rates = {True: config.learning_rate * config.backbone_rate, False: config.learning_rate}
    return [
        {"params": parameters, "base": rates[backbone], "lr": rates[backbone]}
        | ({} if decays else {"weight_decay": 0.0})
        for (backbone, decays), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


def _rate(step: int, config: TrainConfig) -> float:
    """Return the share of the learning rate at a step: linear warm-up, then half a cosine down to 1 %."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(step / config.steps, 1.0))))


@torch.no_grad()
def _average(ema: Any, net: Any, keep: float) -> None:
    for mean, value in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1.0 - keep)
        else:
            mean.copy_(value)


def _validate(
    ema: Any,
    spec: PixelSpec,
    sources: Sequence[Source],
    config: TrainConfig,
    device: torch.device,
    log: _Log,
    step: int,
) -> dict[str, Any]:
    class_map = ClassMap.load(class_map_path("roadscribe"))
    segmenter = Mask2Former.of_net(copy.deepcopy(ema), spec, class_map, device=device)
    scores = score_of(segmenter, spread(sources, config.validate_images))
    record = {condition or "all": score.record() for condition, score in scores.items()}
    scalars = {f"iou/{condition}/{name}": v for condition, r in record.items() for name, v in r["iou"].items()}
    log.add(step, scalars | {f"iou/{condition}/road_mean": r["road_mean_iou"] for condition, r in record.items()})
    return record


def _export(
    out: Path,
    ema: Any,
    spec: PixelSpec,
    config: TrainConfig,
    step: int,
    training: Sequence[Source],
    validation: Sequence[Source],
) -> Path:
    rows = [json.loads(line) for line in (out / METRICS).read_text(encoding="utf-8").splitlines()]
    scores: dict[str, dict[str, float]] = {}  # condition -> class or "road_mean" -> the last value
    for row in rows:
        for key, value in row.items():
            if key.startswith("iou/"):
                _, condition, name = key.split("/")
                scores.setdefault(condition, {})[name] = value
    facts = {
        "parameters": sum(parameter.numel() for parameter in ema.parameters()),
        "training": [(source.name, len(source.samples)) for source in training],
        "validation": [(source.name, len(source.samples)) for source in validation],
        "steps": step,
        "hours": sum(row.get("seconds", 0.0) for row in rows) / 3600,
        "config": asdict(config),
        "scores": scores,
    }
    export(out / "net", ema, spec, model_card(config, facts))
    return out / "net"


class _Log:
    """Scalars of steps, as JSON lines and as TensorBoard events; a resumed run drops what it will do again."""

    def __init__(self, out: Path, step: int) -> None:
        self._path = out / METRICS
        kept = []
        if self._path.exists():
            lines = self._path.read_text(encoding="utf-8").splitlines()
            # The last line of a killed run may be cut short.
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_atomic(self._path, "".join(f"{line}\n" for line in kept).encode())
        self._events = EventWriter(out / "events")
        self._since = time.monotonic()

    def add(self, step: int, scalars: dict[str, float]) -> None:
        now = time.monotonic()
        row = {"step": step, "seconds": round(now - self._since, 3)} | {k: round(v, 6) for k, v in scalars.items()}
        self._since = now
        with storage_errors(str(self._path)), self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        self._events.add(step, scalars)
