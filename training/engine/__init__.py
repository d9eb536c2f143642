"""The engine of every training: a visible loop, its exact state, batches in the background, and a log."""
