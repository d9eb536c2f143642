"""Heights of the ground before the fit: from the path, from LiDAR, and from images that agree."""
