"""The page as a person sees it."""
