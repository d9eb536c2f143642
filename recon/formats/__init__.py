"""Readers that turn files on disk into a DriveLog; one module per format."""
