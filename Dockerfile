# The operator image. Context: the repository's root.
ARG BASE=python:3.11-slim-bookworm
# The runtime image: any image with Python 3.11 as python3, including a distroless one.
ARG RUNTIME=${BASE}

# hadolint ignore=DL3006 -- the base is an argument; its default has a tag.
FROM ${BASE} AS packages

# Only for networks with a TLS proxy that has its own CA.
ARG SSL_CERT_FILE
ARG PIP_CERT

COPY requirements/bootstrap.txt requirements/operator.txt /tmp/requirements/
# Bytecode is compiled here because the root filesystem is read-only at run time; by hash, because a
# reproducible image has no file times to compare with. A fixed hash seed fixes the order in which sets
# are written.
ENV PYTHONHASHSEED=0
RUN python3 -m venv /tmp/bootstrap \
    && /tmp/bootstrap/bin/pip install --quiet --no-cache-dir --require-hashes -r /tmp/requirements/bootstrap.txt \
    && /tmp/bootstrap/bin/uv pip install --quiet --no-cache --python python3 --target /opt/finetune/packages \
        --require-hashes -r /tmp/requirements/operator.txt \
    && rm -rf /opt/finetune/packages/bin \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/finetune/packages

COPY contract/src job-spec/src operator/src /opt/finetune/src/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/finetune/src

# hadolint ignore=DL3006
FROM ${RUNTIME}

# The dependencies are in a separate layer below our code.
COPY --from=packages /opt/finetune/packages /opt/finetune/packages
COPY --from=packages /opt/finetune/src /opt/finetune/src

ENV PYTHONPATH=/opt/finetune/src:/opt/finetune/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python3", "-m", "finetune_operator"]

# Last, so that they change no other layer.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="finetune-operator" \
      org.opencontainers.image.description="Runs FineTuneJobs: watches the resources, starts training pods, writes status." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
