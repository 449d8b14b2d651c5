# The review for a department: built from this folder, run as a user without rights, data in /data.
#   docker build --tag marrowscope .
FROM python:3.12-slim-bookworm AS build

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir ".[department,formats]"

FROM python:3.12-slim-bookworm

LABEL org.opencontainers.image.title="marrowscope" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN useradd --create-home --uid 10001 marrowscope \
    && mkdir /data \
    && chown marrowscope:marrowscope /data
COPY --from=build /venv /venv

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
USER marrowscope
VOLUME /data
EXPOSE 8765

HEALTHCHECK --interval=30s --timeout=5s --retries=5 CMD python -c "import urllib.request; urllib.request.urlopen('http://localhost:8765/health', timeout=4)"

ENTRYPOINT ["marrowscope"]
CMD ["review", "/data", "--no-browser", "--host", "0.0.0.0"]
