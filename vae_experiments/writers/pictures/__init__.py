"""Pictures, one or a clip of them, each file written through imageio."""
