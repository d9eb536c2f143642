"""TODO-DOC views."""
