"""What frames a run and is no stage: every check before its tasks, the record of how it ended."""
