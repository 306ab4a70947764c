"""The question set that ships with the package."""
