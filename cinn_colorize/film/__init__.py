"""Films: colours that move with things, shot by shot, with the container and sound of the film."""

from cinn_colorize.film.frames import colorize_film as colorize_film
