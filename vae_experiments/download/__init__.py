"""Downloading autoencoders before they are needed, for offline use."""
