"""What lies in the object store: objects, directories with manifests, journals, the ledger, the plan of a run."""
