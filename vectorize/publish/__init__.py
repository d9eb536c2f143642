"""TODO-DOC publish."""
