# The operator image. Context: the repository's root.
ARG BASE=python:3.11-slim-bookworm
# hadolint ignore=DL3006 -- the base is an argument; its default has a tag.
FROM ${BASE}

# Only for networks whose TLS goes through a proxy with a CA of its own; not kept in the image.
ARG SSL_CERT_FILE
ARG PIP_CERT

# The dependencies in a layer of their own below our code. Bytecode is compiled here because the
# root filesystem is read-only at run time.
COPY requirements/bootstrap.txt requirements/operator.txt /tmp/requirements/
RUN python3 -m venv /tmp/bootstrap \
    && /tmp/bootstrap/bin/pip install --quiet --no-cache-dir --require-hashes -r /tmp/requirements/bootstrap.txt \
    && python3 -m venv --without-pip /opt/finetune \
    && /tmp/bootstrap/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/finetune/bin/python \
        --require-hashes -r /tmp/requirements/operator.txt \
    && rm -rf /tmp/bootstrap /tmp/requirements

COPY contract/src operator/src /opt/finetune/src/

ENV PATH=/opt/finetune/bin:$PATH \
    PYTHONPATH=/opt/finetune/src \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python3", "-m", "finetune_operator"]

# Last, so that they change no layer above.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="finetune-operator" \
      org.opencontainers.image.description="Runs FineTuneJobs: watches the resources, starts training pods, writes status." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
