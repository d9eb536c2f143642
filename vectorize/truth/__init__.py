"""Readers of true maps."""
