"""The stages that train: the only ones that import `training`, inside their functions."""
