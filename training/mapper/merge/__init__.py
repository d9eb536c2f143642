"""Predictions of single keyframes, merged into one map of a drive."""
