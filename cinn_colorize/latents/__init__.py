"""Latent codes: noise, temperature, levels, windows. Nothing here draws a photo."""
