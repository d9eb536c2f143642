"""TODO-DOC fit."""
