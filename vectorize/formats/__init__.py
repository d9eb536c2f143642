"""Writers and readers of map exchange formats; one module per format."""
