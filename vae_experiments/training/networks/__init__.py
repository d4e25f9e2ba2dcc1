"""The networks that can be trained, and their losses."""
