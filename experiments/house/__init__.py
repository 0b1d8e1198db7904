"""The size and shape of the source: lines, circles of imports, faces."""
