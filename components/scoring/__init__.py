"""From graded answers to figures and decisions: cells, intervals, gaps, the gate. Pure."""
