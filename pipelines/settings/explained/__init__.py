"""Where each value of a recipe comes from: the paper, or a choice of ours with its reason."""
