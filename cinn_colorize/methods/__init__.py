"""Methods to draw samples of a photo, and the recipes that say how a picture was made."""
