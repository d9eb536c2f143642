"""Readers of true maps: one entry, and one module for each format or data set."""
