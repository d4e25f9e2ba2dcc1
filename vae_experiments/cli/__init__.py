"""From what was typed to an experiment; nothing else knows Hydra."""
