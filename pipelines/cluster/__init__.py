"""A Kubeflow installation seen from outside: its API, uploads, schedules, progress."""
