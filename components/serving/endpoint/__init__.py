"""An OpenAI-compatible server for one model, on transformers: what serves where vLLM is not installed."""
