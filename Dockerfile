# hpsearch and MLflow. CPU by default; for NVIDIA GPUs:
#   docker build --build-arg JAX_EXTRA=cuda12 -t hpsearch:cuda .
FROM python:3.13-slim

ARG JAX_EXTRA=""
WORKDIR /opt/hpsearch
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY hpsearch hpsearch
# The lock's versions without its hashes, as constraints: the image leaves out what only tests need.
RUN sed -E 's/ *\\$//; /^ *--hash/d' requirements.lock > /tmp/constraints.txt \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt ".[server]" \
    && if [ -n "$JAX_EXTRA" ]; then \
         pip install --no-cache-dir --constraint /tmp/constraints.txt "jax[$JAX_EXTRA]"; fi \
    && rm /tmp/constraints.txt

RUN useradd --create-home --uid 1000 hpsearch \
    && install -d -o hpsearch /studies /artifacts
USER hpsearch
WORKDIR /studies
ENTRYPOINT ["hpsearch"]
CMD ["--help"]
