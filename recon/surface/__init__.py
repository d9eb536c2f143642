"""The road surface: 2D Gaussian surfels on a sparse regular grid of cells."""
