"""From the features of the cameras to a bird's-eye raster of the patch."""
