"""Execution: job specs, plans of content-addressed stages, and the pools that run them."""
