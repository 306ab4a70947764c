"""One module a section of the report: its sentences, its table and its figure."""
