"""Exit 1 when the gate refused the two newest registered versions, 0 when it did not, 2 when MLflow does not say."""

import sys

from mlflow import MlflowClient

from components.errors import InputError
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking

NEWEST = 2


def refused_in_a_row() -> list[str]:
    """Versions that the gate refused, newest first, up to the first promoted one; of the NEWEST only."""
    versions = MlflowClient().search_model_versions(
        f"name = '{registry.MODEL}'", order_by=["version_number DESC"], max_results=NEWEST
    )
    refused = []
    for version in versions:
        if version.tags.get("gate.decision") != "refuse":
            break
        refused.append(str(version.version))
    return refused


if __name__ == "__main__":
    try:
        tracking.check()
        refused = refused_in_a_row()
    except InputError as error:
        print(f"gate_watch: {error}")
        sys.exit(2)
    except Exception as error:  # MLflow's client raises its own, requests' and urllib3's errors alike
        print(f"gate_watch: MLflow did not say: {type(error).__name__}: {error}")
        sys.exit(2)
    print(f"refused in a row: {', '.join(refused) or 'none'}")
    sys.exit(1 if len(refused) == NEWEST else 0)
