"""Video files, read with PyAV frame by frame."""
