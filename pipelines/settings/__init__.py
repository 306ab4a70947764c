"""What to run (recipes) and where (profiles), as validated data."""
