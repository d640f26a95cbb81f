# The worker: hashed packages, no build tools, no root, no port but that of /metrics.
# The configuration is mounted at /app/monitor.toml or given as text in MONITOR_CONFIG_TOML.
FROM python:3.13-slim AS build
# requirements.lock adds what only some need: Apprise, Parquet, tokenizers (and development tools).
ARG LOCK=requirements-worker.lock
WORKDIR /src
RUN python -m venv --without-pip /app/venv
COPY requirements-worker.lock requirements.lock deploy/build.lock ./
RUN pip --python /app/venv/bin/python install --no-cache-dir --no-deps --require-hashes -r "$LOCK" \
 && pip install --no-cache-dir --no-deps --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
COPY migrations migrations
COPY docs/runbook.md docs/runbook.md
COPY examples examples
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /app/venv/bin/python install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PATH=/app/venv/bin:$PATH MONITOR_HOME=/data
# /data holds the spool, and the embedded database where DATABASE_URL is not set: mount a volume.
RUN useradd --system --uid 10001 --home-dir /data monitor && install -d -m 700 -o monitor /data
COPY --from=build /app/venv /app/venv
WORKDIR /app
USER 10001
CMD ["monitor", "run"]
