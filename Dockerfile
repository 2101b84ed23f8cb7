# The virtual environment is built in one stage and copied into a small one that runs as an ordinary user.
FROM python:3.12-slim AS build
WORKDIR /app
COPY requirements-runtime.lock ./
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY conformance conformance
COPY fhir_server fhir_server
COPY mappers mappers
COPY ai ai
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps .

FROM python:3.12-slim
RUN groupadd --system --gid 10001 praxis \
    && useradd --system --uid 10001 --gid praxis --home-dir /var/lib/praxis --create-home praxis
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PRAXIS_HOST=0.0.0.0 PRAXIS_MLLP_HOST=0.0.0.0 PRAXIS_DATA_DIR=/var/lib/praxis
USER praxis
VOLUME /var/lib/praxis
EXPOSE 8080 2575
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["praxis"]
CMD ["serve"]
