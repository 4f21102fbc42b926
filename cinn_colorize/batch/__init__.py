"""Many photos: what is to be done of each, by which process, and what was done."""
