"""How the detail inside latent cells turns with the picture: measured, fitted to a model, and kept."""
