"""Where published files are kept, how long they and their jobs are, and what was deleted."""
