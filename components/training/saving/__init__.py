"""Checkpoints while a training runs: when one is written, that it is finite, how it reaches the store, who may."""
