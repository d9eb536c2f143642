"""What people look at: pictures, overlays on camera images, and the summary of a result."""
