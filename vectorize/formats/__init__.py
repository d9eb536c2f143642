"""Writers of map exchange formats; one module per format."""
