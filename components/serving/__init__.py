"""Which version serves: the pointer, its log, how it is moved, and what may be deleted."""
