"""The images of one or several trips: rectified, labelled and posed."""
