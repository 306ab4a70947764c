"""Files that other evaluation frameworks load; each is copied as it is, beside what it reads."""
