"""A registered model of a test's own, with versions whose files and decisions are real."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.platform.models import stored_weights_digest
from components.platform.storage import store
from components.platform.storage.ledger import Challenge, reserve
from components.serving import decisions
from components.serving.pointer import Served


@dataclass
class Shelf:
    """Makes versions of one registered model below `root`; without `registered` they are in the store alone."""

    root: str
    folder: Path
    name: str = field(default_factory=lambda: f"shelf-{uuid.uuid4().hex[:8]}")
    made: dict[str, Served] = field(default_factory=dict)

    def weights(self, version: str) -> str:
        return self.made[version].weights if version in self.made else ""

    def put(self, version: str, weights: str = "") -> dict[str, Any]:
        """Store a model's files; `weights` stands for what the safetensors hold."""
        model = self.folder / f"{self.name}-{version}-{uuid.uuid4().hex[:4]}"
        model.mkdir()
        (model / "model.safetensors").write_bytes((weights or f"weights of {self.name} {version}").encode() * 100)
        (model / "config.json").write_text(json.dumps({"made": version}))
        return store.put_dir(model, f"{self.root}/artifacts/grpo/{self.name}-{version}", stage="grpo", key=version)

    def stored(
        self, version: str, against: str = "", decision: str = "promote", weights: str = "", counted: bool = True
    ) -> Served:
        """A version as it would be registered: the gate decided on it `against` another version ("": the base).

        Unless `counted`, nobody reserved the decision's look.
        """
        manifest = self.put(version, weights)
        judged = stored_weights_digest(manifest)
        baseline = self.weights(against) or "b" * 64
        if counted:
            asked = Challenge(self.name, baseline, "", judged, (f"questions of {self.name} {version}",), "", {})
            assert reserve(self.root, asked).look == 1
        verdict = {
            "decision": decision,
            "baseline": "champion" if against else "base",
            "candidate": "grpo",
            "look": 1,
            "reasons": [
                {"rule": "reasoning_superior", "passed": decision == "promote", "text": "not shown to be better"}
            ],
            "models": {
                "baseline": {"name": "champion", "weights_sha256": baseline},
                "candidate": {"name": "grpo", "weights_sha256": judged},
            },
        }
        self.made[version] = Served(
            version=version,
            uri=f"{self.root}/artifacts/grpo/{self.name}-{version}",
            digest=store.manifest_digest(manifest),
            weights=judged,
            decision=decisions.keep(self.root, self.name, verdict),
        )
        return self.made[version]

    def register(self, against: str = "", decision: str = "promote", weights: str = "", counted: bool = True) -> Served:
        """The next version, in MLflow too, through the stage that registers."""
        from components.stages.register import RegisterConfig, register

        kept = self.stored(str(len(self.made) + 1), against, decision, weights, counted)
        verdict = self.folder / "decision.json"
        verdict.write_text(json.dumps(decisions.read(kept.decision)))
        scores = self.folder / "scores.json"
        cell = {"model": "grpo", "benchmark": "all", "setting": "plain", "stratum": "all", "n": 10, "accuracy": 0.5}
        scores.write_text(json.dumps({"cells": [{**cell, "ci_low": 0.4, "ci_high": 0.6}]}))
        settings = RegisterConfig(name=self.name, smoke=False)  # these weights are bytes that no model loads
        evidence = register(kept.uri, verdict, scores, "r" * 64, {}, settings, self.folder)
        assert evidence["version"] == kept.version
        return kept
