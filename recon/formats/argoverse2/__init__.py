"""TODO-DOC argoverse2."""
