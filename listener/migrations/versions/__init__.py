"""The revisions, each a file; they are never changed once they are released."""
