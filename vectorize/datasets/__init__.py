"""Datasets: immutable snapshots of shards, their splits by place, and readers that pull them."""
