"""KITTI's data sets."""
