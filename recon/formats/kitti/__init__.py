"""The reader of KITTI raw drives."""
