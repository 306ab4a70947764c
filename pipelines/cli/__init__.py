"""The biomed-r1 command: every click command, and nothing else."""
