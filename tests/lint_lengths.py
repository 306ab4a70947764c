"""Fail when a function passes 70 lines; warn of a module over 400, which is probably two ideas."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

MODULE_LINES, FUNCTION_LINES = 400, 70
ROOT = Path(__file__).resolve().parents[1]


def read() -> tuple[list[str], list[str]]:
    """(long functions, long modules), each as a line for a person."""
    functions, modules = [], []
    for path in sorted(p for folder in ("components", "pipelines", "tests") for p in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if (lines := len(text.splitlines())) > MODULE_LINES:
            modules.append(f"{name}: {lines} lines: are these two ideas? (over {MODULE_LINES})")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    functions.append(f"{name}:{node.lineno}: {node.name} has {length} lines (at most {FUNCTION_LINES})")
    return functions, modules


if __name__ == "__main__":
    too_long, worth_a_look = read()
    for line in worth_a_look:
        print(f"warning: {line}", file=sys.stderr)
    print("\n".join(too_long), end="\n" if too_long else "")
    sys.exit(bool(too_long))
