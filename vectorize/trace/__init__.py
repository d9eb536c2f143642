"""TODO-DOC trace."""
