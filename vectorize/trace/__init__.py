"""The stage `trace`: from the raster of a site to its vector map."""
