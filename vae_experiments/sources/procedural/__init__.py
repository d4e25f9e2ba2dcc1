"""Frames and clips that this package paints, to train on."""
