"""Pictures of numbers, drawn with matplotlib."""
