"""TODO-DOC sensors."""
