"""Films: colours that stay where things are, shot by shot, in the container and with the sound of the film."""
