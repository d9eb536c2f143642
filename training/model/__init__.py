"""The online-mapping model: cameras to bird's-eye features to ordered points of map elements."""
