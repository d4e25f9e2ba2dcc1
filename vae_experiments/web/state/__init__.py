"""What the server remembers: sessions, uploads, jobs and their results."""
