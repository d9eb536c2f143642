"""The images of one or several trips as a fit sees them."""
