"""What GRPO needs beside TRL's trainer: scoring, held-out evaluation, watching, rollouts that are kept."""
