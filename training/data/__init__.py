"""From shards to batches: samples by number, labels as points of equal distance, cameras as rays."""
