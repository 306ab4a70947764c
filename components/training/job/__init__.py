"""A training as a Kubeflow TrainJob: made and watched by a task, done by pods that know of no keys or receipts."""
