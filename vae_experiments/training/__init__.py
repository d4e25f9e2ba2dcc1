"""Training your own autoencoder, and the one that made the bundled weights."""
