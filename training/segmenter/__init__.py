"""Training of the segmenter: folders of images and ids in, a Mask2Former checkpoint with its model card out."""
