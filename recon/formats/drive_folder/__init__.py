"""TODO-DOC drive_folder."""
