"""One module per stage of the pipeline: its config and one entry function of local paths."""
