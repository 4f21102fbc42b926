"""Photos as they are measured: in colour, square, 256 px (DESIGN: shorter side resized, centre cropped)."""
