"""Exit 0 when the champion is what is served (or there is no champion), 1 when not, 2 when MLflow does not say."""

import os
import sys

import requests

from components.errors import InputError
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking


def served() -> list[str]:
    """The names the vLLM server answers to; the S3 URI of its weights is one of them. Empty when it does not say."""
    key = os.environ.get("VLLM_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = requests.get(f"{os.environ['SERVING_URL'].rstrip('/')}/v1/models", headers=headers, timeout=10)
        answer.raise_for_status()
        return [model["id"] for model in answer.json()["data"]]
    except requests.RequestException as error:
        status = getattr(error.response, "status_code", "no answer")
        print(f"serving did not say: {type(error).__name__}, {status}")
        return []


if __name__ == "__main__":
    try:
        tracking.check()
        champion = registry.find(registry.MODEL, alias=registry.CHAMPION)
    except InputError as error:
        print(f"serving_watch: {error}")
        sys.exit(2)
    except Exception as error:  # MLflow's client raises its own, requests' and urllib3's errors alike
        print(f"serving_watch: MLflow did not say: {type(error).__name__}: {error}")
        sys.exit(2)
    if champion is None:
        print("no champion yet: nothing has to be served")
        sys.exit(0)
    names = served()
    print(f"champion: version {champion.version}, {champion.source}; served: {', '.join(names) or 'nothing'}")
    sys.exit(0 if champion.source in names else 1)
