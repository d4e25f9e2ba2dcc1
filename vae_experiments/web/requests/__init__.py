"""What a person asked the page for, checked."""
