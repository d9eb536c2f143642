"""Where published files are kept, and how long."""
