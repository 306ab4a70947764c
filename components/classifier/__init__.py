"""The reasoning/knowledge classifier: encoders, learners, metrics, its card, and the shares it gives."""
