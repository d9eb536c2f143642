"""The reader of nuScenes scenes, and the writer of a drive in nuScenes' layout."""
