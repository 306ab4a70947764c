"""The Kubernetes API as this program needs it: requests with their errors as ours, and what is wrong with a pod."""
