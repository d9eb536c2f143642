"""Image backbones: pixels to features of several strides."""
