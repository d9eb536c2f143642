"""TODO-DOC surface."""
