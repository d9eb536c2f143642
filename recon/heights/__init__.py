"""TODO-DOC heights."""
