"""Runs of jobs: parts of the executor (names, slots, what it writes, shared resources), and runs without a service."""
