"""Videos with each frame's own time, and their sound."""
