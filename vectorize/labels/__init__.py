"""Pseudo labels: the site map cropped per keyframe, its `known` mask, and shards of them."""
