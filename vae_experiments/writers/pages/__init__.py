"""HTML pages that open from disk, and contact sheets."""
