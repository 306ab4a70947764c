"""docs/cluster-faults.md: what it says of recorded faults is what was recorded, and its figures are the model's."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled_pipelines import text_of
from graph_sizes import size_of

from pipelines.settings.profile import load_profile

PAGE = (Path(__file__).resolve().parents[2] / "docs/cluster-faults.md").read_text(encoding="utf-8")
RECORDED = Path(os.environ.get("BIOMED_R1_DATA", "/nowhere")) / "cluster"
ROWS = {row[0]: row[1:] for row in (line.strip("| ").split(" | ") for line in PAGE.splitlines()) if len(row) == 8}
RECORDINGS = {row[-1].removeprefix("recorded: "): row for row in ROWS.values() if row[-1].startswith("recorded: ")}


def nodes(recording: str) -> list[dict[str, Any]]:
    status = json.loads((RECORDED / recording / "workflow.json").read_text())["status"]
    packed = status.get("compressedNodes")
    found = json.loads(gzip.decompress(base64.b64decode(packed))) if packed else status["nodes"]
    return list(found.values())


def test_every_kind_of_fault_is_there() -> None:
    words = ("error", "refuses its input", "memory", "deleted", "without a receipt", "pulled", "cancel", "schedule")
    assert [word for word in words if not any(word in fault for fault in ROWS)] == []
    known = {row[-1].partition(",")[0].partition(":")[0] for row in ROWS.values()} - {"from", "---"}
    assert known == {"recorded", "seen", "read"}


@pytest.mark.skipif(not RECORDED.is_dir(), reason="BIOMED_R1_DATA names no folder with recordings of a cluster")
@pytest.mark.parametrize("recording", RECORDINGS)
def test_what_the_page_says_of_a_recorded_fault_was_recorded(recording: str) -> None:
    argo, attempts, kfp, *_ = RECORDINGS[recording]
    bad = [n for n in nodes(recording) if n["type"] == "Pod" and n["phase"] in ("Failed", "Error")]
    said = re.findall(r"`((?:main|pod) ?[^`]+)`", argo)
    assert said and {n["message"] for n in bad} >= set(said)
    pods = Counter(re.sub(r"\(\d+\)$", "", n["name"]) for n in bad)
    assert max(pods.values()) == int(attempts)
    # The recorded second attempt after a deleted pod was ended by its deadline, which the page says.
    state = json.loads((RECORDED / recording / "run.json").read_text())["state"]
    assert kfp.split()[0] == ("SUCCEEDED" if recording == "fact-sleep" else state)
    assert recording != "fact-sleep" or "in the recording its time was over" in kfp


def test_the_profile_that_plants_a_fault_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    overrides = [yaml.safe_load(text) for text in re.findall(r"`(roles: \{.*?\}\}|run_hours: [\d.]+)`", PAGE)]
    assert len(overrides) == 2
    for number, more in enumerate([{}, *overrides]):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(block) | more))
        assert load_profile(str(file)).environment["BIOMED_R1_FAULT"] == "stratify:raise"


def test_the_figures_are_the_models() -> None:
    figures = re.findall(r"(\d+) nodes and (\d+) pods|three models\) (\d+) and (\d+)", PAGE)
    told = [tuple(int(value) for value in found if value) for found in figures]
    texts = [text_of("training", "smoke", "kind"), text_of("evaluation", "models-demo", "kind")]
    assert told == [(size.nodes, size.pods) for size in map(size_of, texts)]
