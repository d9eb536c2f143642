#!/usr/bin/env bash
# What: torch.optim.AdamW(fused=True) on a CPU gives weights the moments of other weights where their strides differ.
# Version: torch 2.13.0 (numpy 2.4.6), Python 3.11.
# Expected: a step depends on the values of weights, gradients and moments, not on their order in memory: so does
#   fused=False. Or the fused kernel refuses what it cannot read.
# Happens: the kernel walks through each tensor from end to end. Weights of a net in channels_last lie in another order
#   than contiguous moments, so weight and moment of one place do not meet. Nothing is said.
# Follows: moments get strides of their own when a state goes through a format that keeps none (safetensors, numpy).
#   A run of a channels-last net that goes on from such a state trains on, a little wrong, and is not the run it was.
#   Copy each moment into torch.empty_like(weight) before load_state_dict.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2>/dev/null
"$work/env/bin/python" - <<'PY'
import sys

import torch

print("torch", torch.__version__)


def weights(fused, contiguous):
    """Four steps; after the second the optimizer is made anew from its state, with moments of either layout."""
    torch.manual_seed(0)
    net = torch.nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, fused=fused)
    for step in range(4):
        if step == 2:
            state = optimizer.state_dict()
            for moments in state["state"].values():
                for name in ("exp_avg", "exp_avg_sq"):
                    moments[name] = moments[name].contiguous() if contiguous else moments[name]
            optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, fused=fused)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        net(torch.randn(2, 8, 6, 6)).square().mean().backward()
        optimizer.step()
    return net.weight.detach()


apart = {fused: float((weights(fused, True) - weights(fused, False)).abs().max()) for fused in (False, True)}
for fused, value in apart.items():
    print(f"fused={fused}: weights differ by up to {value:.4f} with the layout of equal moments (rate 0.01, 2 steps)")
print("as described" if apart[False] == 0.0 and apart[True] > 1e-3 else "changed")
sys.exit(0 if apart[False] == 0.0 and apart[True] > 1e-3 else 1)
PY
