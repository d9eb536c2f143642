"""The open drive folder."""
