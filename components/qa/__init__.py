"""The domain: items, prompts, openings, extraction, rewards, statistics and the gate. Pure Python, no I/O."""
