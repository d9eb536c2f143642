"""Segmentation: from a DriveLog's images to FrameLabels; one module per back end."""
