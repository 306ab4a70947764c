"""The gate: its rules, tests, guard and sizes, and what a decision says beside its verdict."""
