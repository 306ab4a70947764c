"""Serving on Kubernetes: what the deployment of components/serving needs of a cluster."""
