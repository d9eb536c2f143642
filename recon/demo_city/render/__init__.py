"""From a scene to the bytes of camera images and LiDAR sweeps."""
