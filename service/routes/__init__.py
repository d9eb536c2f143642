"""TODO-DOC routes."""
