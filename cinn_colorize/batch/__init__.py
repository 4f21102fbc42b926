"""Many photos: what to do for each, by which process, and what was done."""
