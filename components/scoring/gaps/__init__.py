"""Knowledge minus reasoning, several ways, and adversarial changes: estimators, and the records of scores.json."""
