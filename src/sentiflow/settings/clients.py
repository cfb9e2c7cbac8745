"""Say what Prefect, MLflow, Keras and the others shall read in the environment.

They read several hundred variables, and a shell that serves another project has some of them. What
Sentiflow documents stays; the rest of their names goes, and what Sentiflow needs is set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sentiflow.files import make_sqlite_url

# Prefix → the names that stay, as patterns; all others go.
_KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "PREFECT_": (
        # Where the server is, how it is reached, and what it asks for.
        "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_API_SSL_*",
        "PREFECT_API_TLS_*", "PREFECT_CLIENT_CUSTOM_HEADERS", "PREFECT_SERVER_API_AUTH_STRING",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY",
        # Prefect's own, from one of its processes to the next.
        "PREFECT__*",
    ),
    "MLFLOW_": (
        "MLFLOW_TRACKING_*", "MLFLOW_WORKSPACE", "MLFLOW_HTTP_REQUEST_TIMEOUT",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "MLFLOW_SERVER_ALLOWED_HOSTS",
        # How artifacts go to storage outside, and how many connections a database takes.
        "MLFLOW_S3_*", "MLFLOW_BOTO_*", "MLFLOW_GCS_*", "MLFLOW_*MULTIPART*",
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "MLFLOW_SQLALCHEMYSTORE_*",
    ),
    "_MLFLOW_": (),
    "KERAS_": (),
    "TF_": (
        # What fits the machine; nothing of these changes what is computed with.
        "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_*", "TF_CUDNN_*", "TF_NUM_*_THREADS", "TF_CPP_*",
        "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS",
    ),
    "GX_": (),
    "DATABRICKS_": (
        "DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_*", "DATABRICKS_CONFIG_*",
    ),
    "MPLBACKEND": (),
    "MATPLOTLIBRC": (),
}  # fmt: skip
# Server's address → what belongs to it, and goes to no other.
_BELONGS: Final[Mapping[str, tuple[str, ...]]] = {
    # Not PREFECT_API_AUTH_STRING: `sentiflow up` takes it for its server, and others set their own.
    "PREFECT_API_URL": (
        "PREFECT_API_KEY", "PREFECT_API_SSL_*", "PREFECT_API_TLS_*",
        "PREFECT_CLIENT_CUSTOM_HEADERS",
    ),
    "MLFLOW_TRACKING_URI": ("MLFLOW_TRACKING_*", "MLFLOW_WORKSPACE"),
}  # fmt: skip
# Files without which no secure connection can be opened, were they named and missing.
_FILES: Final = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
)  # fmt: skip


def list_foreign(
    environment: Mapping[str, str], servers: Iterable[str], *, spares: Iterable[str] = ()
) -> list[str]:
    """Return the variables that are not for Sentiflow, sorted.

    >>> list_foreign({"KERAS_BACKEND": "jax", "PREFECT_API_KEY": "pnu_1", "HOME": "/root"}, ())
    ['KERAS_BACKEND', 'PREFECT_API_KEY']

    Args:
        environment: as it is.
        servers: the variables of `PREFECT_API_URL` and `MLFLOW_TRACKING_URI` whose server is
            somebody's own, so that what belongs to it stays.
        spares: prefixes that are left alone.
    """
    own = set(servers)
    gone = [pattern for name, names in _BELONGS.items() if name not in own for pattern in names]
    kept = {prefix: names for prefix, names in _KEPT.items() if prefix not in set(spares)}
    return sorted(
        name for name in environment
        if any(
            name.startswith(prefix)
            and not (_is_in(name, names) and not _is_in(name, gone))
            for prefix, names in kept.items()
        )
    )  # fmt: skip


def list_missing_files(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that name certificates which are not there.

    Args:
        environment: as it is.
    """
    return [
        name
        for name in _FILES
        if (named := environment.get(name)) and not Path(named).expanduser().exists()
    ]


def _is_in(name: str, patterns: Iterable[str]) -> bool:
    # NAME_FILE names the file of a secret.
    spelled = (name, name.removesuffix("_FILE"))
    return any(fnmatchcase(one, pattern) for one in spelled for pattern in patterns)


def make_defaults(home: Path, *, has_server: bool) -> dict[str, str]:
    """Return what is set where the environment, without what is foreign, says nothing.

    Args:
        home: SENTIFLOW_HOME.
        has_server: whether runs are at a Prefect server that stays.
    """
    defaults = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_CLI_PROMPT": "false",
        "MLFLOW_TRACKING_URI": make_sqlite_url(home / "mlflow.db"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Sentiflow's artifacts hold no pickle, and unpickling somebody else's would run it.
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        # MLflow asks once: asking again is tracking.patience_seconds', and tries multiply. A server
        # that hangs is noticed after so many seconds, one that is gone at once.
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # With a server MLflow prints where a run is: standard output is the answer's alone.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
        # Else ~/.keras/keras.json, which may be another project's, says how exact numbers are.
        "KERAS_HOME": str(home / "keras"),
        "MPLBACKEND": "agg",
    }
    if "?" in str(home):
        # Else Prefect names the file itself, and leaves what follows the ? out.
        database = make_sqlite_url(home / "prefect" / "prefect.db", "sqlite+aiosqlite")
        defaults["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
    if has_server:
        # Of every run at a server that stays, by whatever way it was started: an automation
        # there takes a run without heartbeats for dead.
        defaults["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = "30"
    return defaults
