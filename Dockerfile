# One image for every Python service: both servers, deployment, worker and predictions.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE}
WORKDIR /opt/sentiflow
# Packages first: a change of anything else keeps this layer of 3 GB.
COPY requirements.lock ./
COPY scripts/install.sh scripts/
RUN scripts/install.sh python3 .venv requirements.lock
# 999 is also the user of the postgres image, so that both read the secrets, which have mode 0600.
# A new volume takes the owner and the mode of the folder it is mounted on.
RUN groupadd --system --gid 999 sentiflow \
  && useradd --system --uid 999 --gid 999 --home-dir /var/lib/sentiflow sentiflow \
  && for folder in database prefect mlflow nights predictions; do \
       install -d -o 999 -g 999 -m 0700 "/secrets/$folder"; done \
  && install -d -o 999 -g 999 -m 0700 /artifacts /secrets /var/lib/sentiflow \
  && install -d -o 999 -g 999 -m 0755 /data /given
ENV PATH=/opt/sentiflow/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    SENTIFLOW_HOME=/var/lib/sentiflow \
    PREFECT_HOME=/var/lib/sentiflow/prefect \
    MPLCONFIGDIR=/tmp/matplotlib \
    GIT_PYTHON_REFRESH=quiet \
    PYTHONUNBUFFERED=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    GX_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=true \
    TF_CPP_MIN_LOG_LEVEL=3
COPY LICENSE README.md prefect.yaml pyproject.toml ./
COPY configs configs
COPY scripts/container scripts/container
COPY flows flows
COPY src src
# The second time the packages are there, and the checkout is installed as it lies here. The root
# file system is read-only when it runs, so bytecode is written now.
RUN scripts/install.sh python3 .venv requirements.lock && python -m compileall -q src flows
USER 999:999
ENTRYPOINT ["/opt/sentiflow/scripts/container/entrypoint.sh"]
CMD ["sentiflow", "serve"]
HEALTHCHECK --start-period=120s --interval=15s --timeout=10s \
  CMD ["python", "scripts/container/check_health.py", "http://127.0.0.1:8080/health"]
