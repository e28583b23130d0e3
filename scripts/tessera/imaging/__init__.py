"""Imaging: objects of large 2-D and 3-D images, counted, measured and compared."""
