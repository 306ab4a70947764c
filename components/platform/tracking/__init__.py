"""MLflow: runs, the model registry, and what its answers mean."""
