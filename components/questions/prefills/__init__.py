"""Adversarial prefills: the templates, the prompt that has a model write them, and the rule that judges one."""
