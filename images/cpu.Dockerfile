# The image of every stage that needs no GPU, and, on one machine without one, of all of them.
#   cpu       what the stages need; no model weights: those come from the store or a hub at run time
#   sbom      lists what is installed in `cpu` (make sbom)
#   cpu-vllm  the same with vLLM's CPU build
# Plain instructions only: BuildKit may be off. Production sets BASE to a digest.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
# PyTorch's own index of CPU builds, asked before pip's; and one more for pip to look at.
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
ARG PIP_EXTRA_INDEX_URL
COPY images/cpu.lock images/torch /tmp/images/
# The venv has no pip of its own; --no-deps because the lock is complete.
RUN python3 -m venv --without-pip /opt/venv \
 && /tmp/images/torch cpu "$(sed -n 's/^torch==//p' /tmp/images/cpu.lock)" "${TORCH_CPU_INDEX}" \
      python3 -m pip --no-cache-dir --python /opt/venv/bin/python \
 && { grep -q '^cuda.*= None' /opt/venv/lib/python3.*/site-packages/torch/version.py || { \
      echo "this is a CUDA build of torch, and the image has no CUDA libraries: set TORCH_CPU_INDEX to an index with" \
        "the CPU build" >&2; exit 1; }; } \
 && python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --requirement /tmp/images/cpu.lock \
 && /opt/venv/bin/python -c 'import torch'

FROM ${BASE} AS cpu
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin biomed-r1
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
LABEL org.opencontainers.image.title="biomed-r1 (CPU)" \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.licenses=Apache-2.0
WORKDIR /tmp
USER 10001:10001

FROM dependencies AS sbom
COPY images/sbom.txt /tmp/images/
RUN python3 -m venv /opt/sbom \
 && /opt/sbom/bin/pip install --no-cache-dir --requirement /tmp/images/sbom.txt \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.json /opt/venv/bin/python

FROM dependencies AS vllm-dependencies
COPY images/cpu-vllm.lock /tmp/images/
RUN python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
      --requirement /tmp/images/cpu-vllm.lock

FROM cpu AS cpu-vllm
COPY --from=vllm-dependencies /opt/venv /opt/venv
