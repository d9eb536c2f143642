"""The bird's-eye raster of a site, and the stage that bakes it from a surface."""
