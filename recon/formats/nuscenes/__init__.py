"""TODO-DOC nuscenes."""
