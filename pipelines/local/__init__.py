"""A run on this machine: embedded servers, KFP's local runners, progress, summary."""
