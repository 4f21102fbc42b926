"""Films: colours that stay where things are, shot by shot, with the container and sound of the film."""
