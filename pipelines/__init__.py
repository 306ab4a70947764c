"""The Kubeflow pipelines, their recipes and profiles, and the `biomed-r1` command."""
