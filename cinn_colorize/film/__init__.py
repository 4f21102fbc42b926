"""Films: colours that stay where things are, in the container and with the sound of the film."""
