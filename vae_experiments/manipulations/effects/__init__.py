"""The manipulations themselves, by what they change."""
