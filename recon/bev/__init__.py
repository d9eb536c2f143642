"""TODO-DOC bev."""
