"""Reconstruction: from files of a drive to a bird's-eye map (DriveLog, FrameLabels, RoadSurface, BevMap)."""
