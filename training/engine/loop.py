"""The training loop: every trainer's, with the step in view."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch

from recon.errors import ModelInvalid
from recon.progress import Tick, silent
from training.engine.config import LoopConfig
from training.engine.ema import update_average
from training.engine.log import Log
from training.engine.schedule import adamw, rate_share, set_rate
from training.engine.state import claim, load_state, save_state
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
    resume: bool = False,
    tick: Tick = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train the net of a task in the folder `out`, which gets metrics.jsonl, events/, pictures/ and state/.

    A run that `should_stop` ends finishes its step and saves. One that was stopped or killed goes on with `resume`
    from its newest state, on a CPU to the same bytes. Raises PathRefused when `out` holds a run and `resume` is not
    given, ArtifactInvalid when its state does not fit, ModelInvalid with every term when loss or gradient are not
    finite (the state of the step before is not touched), DiskFull, and what the task and `tick` raise.
    """
    claim(out, resume)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    net = task.net(device).train()
    average = copy.deepcopy(net).eval()
    optimizer = adamw(task.groups(net), config)
    identity = {"settings": config.identity(), "data": task.data_digest()}
    step = load_state(out, net, average, optimizer, identity)
    log = Log(out, step)
    stopped = False
    rounded = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    for batch in task.batches(step):
        set_rate(optimizer, rate_share(step, config))
        # What a net draws (dropout, masks) depends on seed and step only: no generator has a state to save.
        torch.manual_seed(config.seed + 1_000_003 * (step + 1))
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            output = task.forward(net, batch)
        terms = task.terms(output, batch)
        total = reduce(operator.add, terms.values())
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), config.grad_clip)
        if not bool(torch.isfinite(total) & torch.isfinite(norm)):  # reading a value waits for the GPU: once is enough
            raise _not_finite(step, {"total": total, **terms, "gradient norm": norm}, out)
        optimizer.step()
        step += 1
        update_average(average, net, step, config.ema)
        stopped, last = should_stop(), step == config.steps
        if step % LOG_EVERY == 0 or last:
            losses = {f"loss/{name}": float(value.detach()) for name, value in {"total": total, **terms}.items()}
            log.add(step, losses | {"norm": float(norm), "rate": optimizer.param_groups[-1]["lr"]})
        if step % config.validate_every == 0 or last:
            found = task.evaluate(average, step)
            if found.scalars or found.pictures:
                log.add(step, found.scalars, found.pictures)
        if stopped or last or step % config.save_every == 0:
            save_state(out, step, net, average, optimizer, identity)
        tick(step, config.steps, "steps")
        if stopped:
            break
    return Outcome(net=average, step=step, stopped=stopped)


def _not_finite(step: int, values: Mapping[str, torch.Tensor], out: Path) -> ModelInvalid:
    """Return the error that names every term with its value."""
    what = "gradient" if bool(torch.isfinite(values["total"])) else "loss"
    named = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in values.items())
    hint = "Lower train.learning_rate, and continue with --resume from the state before."
    return ModelInvalid(f"the {what} of step {step} is not finite: {named}", where=str(out), hint=hint)
