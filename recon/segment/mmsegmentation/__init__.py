"""The back end for nets of mmsegmentation (extra `[mmseg]`): configurations as data, weights without pickles."""
