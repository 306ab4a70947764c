"""Single answers: each as a mark, what several samples of one question say, and what a second order of options says."""
