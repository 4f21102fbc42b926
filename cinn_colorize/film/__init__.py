"""Films: colours that stay where things are, shot by shot."""
