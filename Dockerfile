# One image for every service and the command line.
#   EXTRA=cpu    services, models on the CPU
#   EXTRA=gpu    score on CUDA; BASE must bring the CUDA libraries that ONNX Runtime asks for (docs/operations.md)
#   EXTRA=train  cpu, and `headrace train`
ARG BASE=python:3.11-slim

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY requirements/dev.txt requirements/
# The build tools at their pinned and hashed versions, without the rest of the developers' packages.
RUN awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' requirements/dev.txt \
        > build.txt \
    && pip install --no-cache-dir --disable-pip-version-check --require-hashes -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY headrace headrace
COPY services services
COPY schemas schemas
COPY topics topics
COPY pipelines pipelines
RUN python -m hatchling build -t wheel -d /dist

FROM ${BASE} AS run
# tini passes signals on and reaps; libgomp1 is what LightGBM's wheel links and does not carry.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini libgomp1 \
    && rm -rf /var/lib/apt/lists/*
# By number, so that a cluster can see that it is not root.
RUN useradd --uid 10001 --user-group --create-home headrace \
    && install -d -o headrace -g headrace /models /var/cache/numba
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/var/cache/numba

ARG EXTRA=cpu
COPY requirements/run*.txt /tmp/requirements/
RUN case "${EXTRA}" in \
        cpu) file=run.txt ;; \
        gpu) file=run-gpu.txt ;; \
        train) file=run-train.txt ;; \
        *) echo "EXTRA is cpu, gpu or train, not ${EXTRA}" >&2; exit 1 ;; \
    esac \
    && pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
        -r "/tmp/requirements/${file}" \
    && rm -r /tmp/requirements
COPY --from=wheel /dist/*.whl /tmp/
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps /tmp/headrace-*.whl && rm /tmp/headrace-*.whl

# What dead letters and checkpoints name as the code that wrote them; unset: the package's version.
ARG REVISION=""
ENV HEADRACE_CODE_VERSION=${REVISION}

USER 10001:10001
WORKDIR /home/headrace
# Machine code of the kernels for this kind of CPU; on another kind services compile it once more before they begin, so
# the folder must stay writable: compose mounts a volume there, which begins with what is made here.
COPY compose/warm.py /opt/headrace/warm.py
RUN python /opt/headrace/warm.py

EXPOSE 9100
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--"]
CMD ["headrace", "--help"]
