"""Adapters for autoencoders that see several frames at once."""
