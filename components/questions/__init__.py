"""Question sets: items, prompts, sampling, overlap, training rows. Pure: no files, no models, no network."""
