"""Where photos to learn from and to measure on come from: folders, zips, LMDBs, URLs."""
