"""Which version serves, and how it gets there: pointer, promotion, deployment, an endpoint to ask."""
