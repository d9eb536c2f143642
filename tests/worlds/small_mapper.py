"""The smallest online-mapping model that has every part, in Python and as the text of a settings file."""

from __future__ import annotations

from dataclasses import replace

import small_shards

MODEL = replace(
    small_shards.MODEL,
    backbone="efficientnet_lite0",
    lift="ipm",
    channels=16,
    bev_blocks=1,
    layers=2,
    heads=2,
    feed_forward=16,
    instances=6,
    instances_many=6,
    repeats=2,
)
TOML = """
steps = 2
batch = 1
warmup_steps = 1
validate_every = 2
threads = 1
loader_threads = 1
device = "cpu"
[model]
preset = "tiny"
weights = ""
image_px = [64, 32]
bev_px = [40, 20]
channels = 16
heads = 2
layers = 1
instances = 6
instances_many = 0
points = 8
"""
