"""The HTTP server of the page, and what it refuses."""
