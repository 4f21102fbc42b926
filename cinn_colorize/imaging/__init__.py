"""Files to photos and pictures to files: formats, metadata, colour, upsampling."""
