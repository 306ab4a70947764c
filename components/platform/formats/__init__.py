"""Formats of table files (Parquet, and CSV, TSV, JSON and JSONL as rows of text), and Prometheus's text format."""
