#!/usr/bin/env bash
# What: a feature of a ResNet looks at the image (stride - 1) / 2 pixels up and left of the middle of its own cell.
# Version: transformers 5.23.0 (torch 2.13.0, numpy 2.4.6), Python 3.11.
# Expected: feature (i, j) of stride 32 describes the 32 x 32 pixels of its cell, as a Swin's features do. Code that lifts
#   features to the ground, or casts a ray for each, takes the middle of the cell: (j + 0.5) * 32.
# Happens: convolutions with stride 2 pad one pixel on every side. On an even length that moves the middle half a pixel of
#   their input up and left, and the pooling too. The moves add up to 1.5, 3.5, 7.5 and 15.5 pixels at strides 4 to 32,
#   near half a cell each. Swin cuts the image in patches and stays in the middle.
# Follows: two backbones of one stride disagree by half a cell about where a lane is: 15 pixels, or a degree and more of a
#   common camera. Exchange them behind a fixed geometry and every line moves. Sample a ResNet's features at
#   u / stride - 0.5 + (stride - 1) / (2 * stride), not at u / stride - 0.5.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 numpy==2.4.6 2>/dev/null
OMP_NUM_THREADS=2 HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
import sys

import torch
import transformers
from transformers import ResNetBackbone, ResNetConfig, SwinBackbone, SwinConfig

print("transformers", transformers.__version__, "torch", torch.__version__)
torch.manual_seed(0)
STAGES = ["stage1", "stage2", "stage3", "stage4"]
small = {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]}
nets = {
    "ResNet-18": ResNetBackbone(ResNetConfig(out_features=STAGES, **small)),
    "Swin-T": SwinBackbone(SwinConfig(out_features=STAGES)),
}


def offsets(net):
    """Mean distance from the middle of a cell to the middle of what its feature depends on: pixels, a value a stride."""
    found = []
    for _ in range(6):
        image = torch.randn(1, 3, 256, 256, requires_grad=True)
        for features in net(image).feature_maps:
            stride = 256 // features.shape[-1]
            middle = features.shape[-1] // 2
            for i in (middle - 1, middle):
                value = (features[0, :, i, i] * torch.randn(features.shape[1])).sum()
                (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
                weight = gradient.square().sum(dim=(0, 1, 2))  # of each column
                at = (weight * (torch.arange(256) + 0.5)).sum() / weight.sum()
                found.append((stride, float(at) - stride * (i + 0.5)))
    return {s: sum(d for t, d in found if t == s) / sum(t == s for t, _ in found) for s in (4, 8, 16, 32)}


measured = {name: offsets(net.eval()) for name, net in nets.items()}
for name, row in measured.items():
    print(f"{name:9s}", ", ".join(f"stride {stride}: {value:+.1f} px" for stride, value in row.items()))
print("          ", ", ".join(f"stride {s}: {-(s - 1) / 2:+.1f} px" for s in (4, 8, 16, 32)), "by arithmetic for ResNet")
shifted = all(abs(value + (s - 1) / 2) < 0.1 * s for s, value in measured["ResNet-18"].items())
centred = all(abs(value) < 0.1 * s for s, value in measured["Swin-T"].items())
print("as described" if shifted and centred else "changed")
sys.exit(0 if shifted and centred else 1)
PY
