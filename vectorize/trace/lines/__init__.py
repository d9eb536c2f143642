"""TODO-DOC lines."""
