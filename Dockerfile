# One image for every role of the mesh: control plane, gateway, application with its sidecar, client.
FROM python:3.12-slim

# The sleep pod is there to run curl in.
RUN command -v curl >/dev/null || \
    (apt-get update -q && apt-get install -y -q --no-install-recommends curl && rm -rf /var/lib/apt/lists/*)

WORKDIR /minimesh
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY minimesh ./minimesh
COPY demo_apps ./demo_apps
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps .

# Nothing here needs root; 1337 is whom Istio's proxies run as. Ports below 1024 are open to all in a container.
USER 1337:1337

ENTRYPOINT ["minimesh"]
CMD ["--help"]
