"""TODO-DOC truth."""
