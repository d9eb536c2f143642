"""Vectorization: from a bird's-eye map to polylines, pseudo labels and shards (RoadMap, PseudoLabels, Shard)."""
