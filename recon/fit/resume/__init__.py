"""What a fit that was stopped goes on from: its state at intervals, and the tiles it has finished."""
