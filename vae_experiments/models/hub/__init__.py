"""Models from the Hugging Face hub: what is there, and how it comes here."""
