"""The reader and the writer of drive folders, Roadscribe's own open format."""
