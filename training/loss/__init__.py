"""The loss of the online-mapping model: named terms, each of which takes the mask."""
