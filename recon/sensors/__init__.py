"""What cameras and LiDAR deliver: images and sweeps as files, and the geometry of a projection."""
