"""The kinds of jobs: one module each, listed in `workers.jobs.kinds`."""
