"""The page to play on: every setting a control, every run a folder and a line to repeat it."""
