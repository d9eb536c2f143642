"""Pedestrian crossings and stop lines: paint across the road."""
