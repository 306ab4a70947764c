"""Which option an output chose. Pure: it knows texts and options, nothing else of this project."""
