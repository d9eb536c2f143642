"""TODO-DOC labels."""
