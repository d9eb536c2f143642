"""Experiments with the online-mapping model: their data, their settings, and what they showed."""
