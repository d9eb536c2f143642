"""The stages that make datasets."""
