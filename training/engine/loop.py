"""The training loop: every trainer's, with the step in view."""

from __future__ import annotations

import copy
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch

from recon.config import require
from recon.errors import ArtifactInvalid, ModelInvalid
from recon.progress import Tick, silent
from training.engine.best import keep_best
from training.engine.config import LoopConfig
from training.engine.ema import update_average
from training.engine.log import Log
from training.engine.process_group import ALONE, ProcessGroup
from training.engine.schedule import adamw, rate_share, set_rate
from training.engine.state import changed_settings, claim, load_state, save_state
from training.engine.task import Batch, Output, Task

LOG_EVERY = 20  # steps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a run came to."""

    net: torch.nn.Module  # the averaged one
    step: int
    stopped: bool  # whether it was asked to stop: the same call with `resume` goes on


def run(
    out: Path,
    task: Task[Batch, Output],
    config: LoopConfig,
    device: torch.device,
    *,
    group: ProcessGroup = ALONE,
    resume: bool = False,
    tick: Tick = silent,
    should_stop: Callable[[], bool] = lambda: False,
    measured: Callable[[Mapping[str, float]], None] = lambda _: None,
) -> Outcome:
    """Train the net of a task in the folder `out`, which gets metrics.jsonl, events/, pictures/, state/ and best/.

    A run that `should_stop` ends finishes its step and saves. One that was stopped or killed goes on with `resume`
    from its newest state, on a CPU to the same bytes. With another learning rate its bytes are those of no other run,
    and the log names the change. `measured` gets the scalars of each line of the log before the `tick` of its step.
    All processes of a `group` call this with the same arguments and a folder that all of them see; the first one
    writes, ticks and measures, and any of them may stop the run.

    Raises ConfigInvalid when the batch has no equal parts, PathRefused when `out` holds a run and `resume` is not
    given, ArtifactInvalid when its state does not fit, ModelInvalid with every term when loss or gradient are not
    finite (the state of the step before is not touched), DiskFull, and what the task and `tick` raise.
    """
    parts = group.size * config.accumulate
    require(config.batch % parts == 0, f"train.batch {config.batch} has no {parts} equal parts")
    first = group.rank == 0
    if first:
        claim(out, resume)
    group.same("claimed")  # the others look for a state in a folder that exists
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    net = task.net(device).train()
    average = copy.deepcopy(net).eval()
    optimizer = adamw(task.groups(net), config)
    identity = {"settings": config.identity(), "data": task.data_digest()}
    step = load_state(out, net, average, optimizer, identity)
    if not group.same(json.dumps([step, identity])):
        raise ArtifactInvalid("processes of one run see other states or data", where=str(out), hint="Share the folder.")
    group.share(net.state_dict().values())
    log = Log(out, step) if first else None
    if log and (changed := changed_settings(out, identity)):
        # From here on the run is another than one that began with these settings: its log says so.
        log.add(step, {f"changed/{name}": value for name, value in changed.items()})
    rounded = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    cast = torch.autocast(device.type, torch.bfloat16, enabled=rounded)
    stopped, batches = False, task.batches(step, group)
    while step < config.steps and not stopped:
        set_rate(optimizer, rate_share(step, config))
        terms = _backward(net, task, batches, config, group, step, cast)
        stop = torch.full((), float(should_stop()), device=device)
        values, norm = _average(net, torch.stack([stop, *terms.values()]), config, group)
        losses = {"total": math.fsum(values[1:]), **dict(zip(terms, values[1:], strict=True))}
        if not math.isfinite(losses["total"] + norm):
            raise _not_finite(step, losses | {"gradient norm": norm}, out)
        optimizer.step()
        step += 1
        update_average(average, net, step, config.ema)
        stopped, last = values[0] > 0, step == config.steps
        if log is None:
            continue
        if step % LOG_EVERY == 0 or last:
            rate = optimizer.param_groups[-1]["lr"]
            log.add(step, {f"loss/{name}": value for name, value in losses.items()} | {"norm": norm, "rate": rate})
            measured(losses)
        if step % config.validate_every == 0 or last:
            found = task.evaluate(average, step)
            if found.scalars or found.pictures:
                log.add(step, found.scalars, found.pictures)
                measured(found.scalars)
            if config.best:
                keep_best(out, average, step, config.best, found.scalars)
        if stopped or last or step % config.save_every == 0:
            save_state(out, step, net, average, optimizer, identity)
        tick(step, config.steps, "steps")
    return Outcome(net=average, step=step, stopped=stopped)


def _backward(
    net: torch.nn.Module,
    task: Task[Batch, Output],
    batches: Iterator[Batch],
    config: LoopConfig,
    group: ProcessGroup,
    step: int,
    cast: torch.autocast,
) -> dict[str, torch.Tensor]:
    """Give the net the gradients of a step, the mean over this process's parts, and return the terms' means."""
    means: dict[str, torch.Tensor] = {}
    net.zero_grad(set_to_none=True)
    for part in range(config.accumulate):
        batch = next(batches)
        # What a net draws (dropout, masks) depends on seed, step and part only: no generator has a state to save.
        torch.manual_seed(config.seed + 1_000_003 * (step + 1) + 7_919 * (group.rank * config.accumulate + part))
        with cast:
            output = task.forward(net, batch)
        terms = {name: term / config.accumulate for name, term in task.terms(output, batch, group).items()}
        reduce(operator.add, terms.values()).backward()  # type: ignore[no-untyped-call]
        for name, term in terms.items():
            means[name] = means[name] + term.detach() if name in means else term.detach()
    return means


def _average(
    net: torch.nn.Module, numbers: torch.Tensor, config: LoopConfig, group: ProcessGroup
) -> tuple[list[float], float]:
    """Average the gradients and `numbers` over the group, clip the gradients, and return the numbers and the norm."""
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    means, shares = group.average(parameters, numbers)
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.grad_clip)
    # Reading a value waits for the GPU: everything is read here at once, and nothing elsewhere in a step.
    read = torch.cat([means, norm.reshape(1).float(), shares]).tolist()
    for parameter, share in zip(parameters, read[len(means) + 1 :], strict=len(shares) > 0):
        if not share:  # no process has a gradient of it: it must not decay
            parameter.grad = None
    return read[: len(means)], read[len(means)]


def _not_finite(step: int, values: Mapping[str, float], out: Path) -> ModelInvalid:
    """Return the error that names every term with its value."""
    what = "gradient" if math.isfinite(values["total"]) else "loss"
    named = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    hint = "Continue with --resume and a lower learning rate, e.g. --set learning_rate=VALUE."
    return ModelInvalid(f"the {what} of step {step} is not finite: {named}", where=str(out), hint=hint)
