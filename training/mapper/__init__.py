"""Training of the online-mapping model: shards in, a checkpoint with its card out, and predictions made with it."""
