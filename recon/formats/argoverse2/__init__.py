"""Argoverse 2 sensor logs."""
