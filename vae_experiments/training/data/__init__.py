"""What a training sees: painted frames, or clips cut from videos."""
