# The worker as a Fly machine: hashed install, no build tools, no root, no port but /metrics.
FROM python:3.13-slim AS wheel
WORKDIR /src
COPY requirements.lock .
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
COPY migrations migrations
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/app/venv/bin:$PATH
RUN useradd --system --uid 10001 --create-home --home-dir /app monitor
WORKDIR /app
COPY requirements-worker.lock .
RUN python -m venv venv && venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-worker.lock
COPY --from=wheel /wheels /wheels
RUN venv/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
COPY monitor.toml .
USER monitor
CMD ["monitor", "run"]
