"""Readers that turn files on disk into a DriveLog; one folder a data set, all listed in `read_drive.FORMATS`."""
