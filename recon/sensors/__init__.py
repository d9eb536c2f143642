"""Data of cameras and LiDAR: images, sweeps and tables as bytes, and the geometry of a projection."""
