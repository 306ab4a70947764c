"""What the two trainers share: data, checkpoints, rewards, the loop. The stages sft and grpo only configure it."""
