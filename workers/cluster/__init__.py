"""Stages on a Ray cluster: the pool, the cluster that it drives, and what runs in a Ray worker."""
