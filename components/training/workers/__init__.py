"""A training in several processes: how they are started, what they agree on."""
