"""TODO-DOC crossings."""
