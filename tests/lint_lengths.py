"""Fail when a module passes 300 lines or a function 70: a room that large holds two ideas."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MODULE_LINES, FUNCTION_LINES = 300, 70
ROOT = Path(__file__).resolve().parents[1]


def too_long() -> list[str]:
    found = []
    for path in sorted(p for folder in ("components", "pipelines", "tests") for p in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if (lines := len(text.splitlines())) > MODULE_LINES:
            found.append(f"{name}: {lines} lines (at most {MODULE_LINES})")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    found.append(f"{name}:{node.lineno}: {node.name} has {length} lines (at most {FUNCTION_LINES})")
    return found


if __name__ == "__main__":
    problems = too_long()
    print("\n".join(problems))
    sys.exit(bool(problems))
