# The image of the stages that hold a GPU: torch's CUDA build, TRL and vLLM. No model weights: those come from the store
# or a hub at run time. The CUDA libraries come as Python packages; the driver is the node's.
# Plain instructions only: BuildKit may be off. Production sets BASE to a digest.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
COPY images/gpu.lock /tmp/images/
# The venv has no pip of its own; --no-deps because the lock is complete.
RUN python3 -m venv --without-pip /opt/venv \
 && python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --requirement /tmp/images/gpu.lock \
 && /opt/venv/bin/python -c 'import torch; assert torch.version.cuda, "a CPU build of torch was installed"'

FROM ${BASE} AS gpu
# vLLM and torch's inductor compile small launchers with the C compiler at run time.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin biomed-r1
COPY --from=dependencies /opt/venv /opt/venv
# The root is read-only at run time: all that libraries write goes below /tmp. Telemetry is off.
# (hadolint takes TOKENIZERS_PARALLELISM for a secret.)
# hadolint ignore=DL3064
ENV PATH=/opt/venv/bin:/opt/biomed-r1/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/biomed-r1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/.cache \
    BIOMED_R1_HOME=/tmp/biomed-r1 \
    HF_HOME=/tmp/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    TORCHINDUCTOR_CACHE_DIR=/tmp/torchinductor \
    TRITON_CACHE_DIR=/tmp/triton \
    NUMBA_CACHE_DIR=/tmp/numba \
    VLLM_CACHE_ROOT=/tmp/vllm \
    MLFLOW_DISABLE_TELEMETRY=true \
    VLLM_NO_USAGE_STATS=1 \
    VLLM_DO_NOT_TRACK=1 \
    DO_NOT_TRACK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_HUB_OFFLINE=1 \
    TRANSFORMERS_VERBOSITY=error \
    TOKENIZERS_PARALLELISM=false \
    OMP_WAIT_POLICY=PASSIVE \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT=true
COPY images/biomed-r1 /opt/biomed-r1/bin/
COPY components /opt/biomed-r1/components
COPY pipelines /opt/biomed-r1/pipelines
RUN python -m compileall -q /opt/biomed-r1
# Last, because every commit changes it.
ARG REVISION=unknown
ENV BIOMED_R1_REVISION=${REVISION}
LABEL org.opencontainers.image.title="biomed-r1 (GPU)" \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.licenses=Apache-2.0
WORKDIR /tmp
USER 10001:10001

FROM dependencies AS sbom
COPY images/sbom.txt /tmp/images/
RUN python3 -m venv /opt/sbom \
 && /opt/sbom/bin/pip install --no-cache-dir --requirement /tmp/images/sbom.txt \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.json /opt/venv/bin/python
