"""TODO-DOC kitti."""
