"""BioMed-R1 pipeline: stages, domain logic, engines and the outside world."""
