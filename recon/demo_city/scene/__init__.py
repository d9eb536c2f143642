"""TODO-DOC scene."""
