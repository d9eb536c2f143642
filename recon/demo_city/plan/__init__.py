"""TODO-DOC plan."""
