"""TODO-DOC mmsegmentation."""
