"""Where answers stand that are no declarations: lines, last sentences, judged lists, structured fields, tables."""
