"""Files: names and formats, how they are opened and written, and limits of what is read."""
