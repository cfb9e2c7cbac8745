"""Keep one folder of secrets for each service: given ones as they are, the others drawn once.

A secret is given by the environment variable of its name, or by a file of its name in the folder
that GIVEN_FOLDER names. A secret that could be drawn is kept until another is given or
`--renew NAME` draws it anew; an address or a key of somebody else's holds as long as it is given.

Usage: make_secrets.py [--renew NAME …]
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

# Each secret's name and the folder that keeps it.
DRAWN = {
    "POSTGRES_PASSWORD": "database",
    "PREFECT_DATABASE_PASSWORD": "database",
    "MLFLOW_DATABASE_PASSWORD": "database",
    "LEDGER_DATABASE_PASSWORD": "database",
    "LEDGER_READER_DATABASE_PASSWORD": "database",
    "PREFECT_SERVER_API_AUTH_STRING": "prefect",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "mlflow",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "mlflow",
    "SENTIFLOW_API_KEY": "predictions",
}
# Nobody but their owner can know these, and taking one away withdraws it. An empty file stands for
# one that is not given.
GIVEN_ONLY = {
    "AWS_ACCESS_KEY_ID": "mlflow",
    "AWS_SECRET_ACCESS_KEY": "mlflow",
    "SENTIFLOW_WEBHOOK_URL": "nights",
    "SENTIFLOW_PING_URL": "nights",
}


def main() -> None:
    """Make what is missing, then write what every service reads."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = DRAWN | GIVEN_ONLY
    parser.add_argument("--renew", nargs="+", default=[], choices=sorted(names), metavar="NAME")
    renewed = set(parser.parse_args().renew)
    folder = Path(os.environ.get("SECRETS_FOLDER") or "/secrets")
    values = {}
    for name, place in names.items():
        path = folder / place / name
        given = find_given(name)
        if name in renewed and (given or name in GIVEN_ONLY):
            sys.exit(
                f"{name} is not drawn: a new one must be given, in .env or the folder of given "
                "files. Nothing was changed."
            )
        if given or name in GIVEN_ONLY:
            values[name] = given or ""
            continue
        kept = path.read_text(encoding="utf-8") if path.exists() and name not in renewed else ""
        values[name] = kept or draw(name)
    for place, files in arrange(values, os.environ.get("DATABASE_HOST") or "postgres:5432").items():
        for name, text in files.items():
            write(folder / place / name, text)


def find_given(name: str) -> str | None:
    """Return a secret that the environment or the folder of given files holds."""
    path = Path(os.environ.get("GIVEN_FOLDER") or "/given") / name
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    return os.environ.get(name)


def draw(name: str) -> str:
    """Return a new random secret of 256 bits."""
    secret = secrets.token_urlsafe(32)
    # Prefect's is a user and a password.
    return f"sentiflow:{secret}" if name == "PREFECT_SERVER_API_AUTH_STRING" else secret


def arrange(values: Mapping[str, str], host: str) -> dict[str, dict[str, str]]:
    """Return each service's files: what it may know, under the names that it reads.

    Args:
        values: every secret by name.
        host: the database server's host and port.
    """
    files: dict[str, dict[str, str]] = {}
    for name, place in (DRAWN | GIVEN_ONLY).items():
        files.setdefault(place, {})[name] = values[name]

    def make_url(driver: str, role: str, database: str) -> str:
        password = quote(values[f"{role.upper()}_DATABASE_PASSWORD"], safe="")
        return f"postgresql+{driver}://{role}:{password}@{host}/{database}"

    auth_url = make_url("psycopg2", "mlflow", "mlflow_auth")
    admin, clients = values["MLFLOW_AUTH_ADMIN_PASSWORD"], values["PREFECT_SERVER_API_AUTH_STRING"]
    files["database"] |= {"MLFLOW_AUTH_URL": auth_url, "MLFLOW_AUTH_ADMIN_PASSWORD": admin}
    files["prefect"]["PREFECT_API_DATABASE_CONNECTION_URL"] = make_url(
        "asyncpg", "prefect", "prefect"
    )
    files["mlflow"] |= {
        "MLFLOW_BACKEND_STORE_URI": make_url("psycopg2", "mlflow", "mlflow"),
        "basic_auth.ini": write_basic_auth(auth_url),
    }
    files["nights"] |= {
        "MLFLOW_TRACKING_PASSWORD": admin,
        "PREFECT_API_AUTH_STRING": clients,
        "SENTIFLOW_LEDGER_URL": make_url("psycopg2", "ledger", "ledger"),
    }
    files["predictions"] |= {
        "MLFLOW_TRACKING_PASSWORD": admin,
        # It may read the ledger and nothing else.
        "SENTIFLOW_LEDGER_URL": make_url("psycopg2", "ledger_reader", "ledger"),
    }
    return files


def write_basic_auth(url: str) -> str:
    """Return MLflow's file of settings for basic auth; the password comes by environment."""
    # A per cent sign means something else to the parser of this file.
    lines: Sequence[str] = (
        "[mlflow]",
        "default_permission = READ",
        f"database_uri = {url.replace('%', '%%')}",
        "admin_username = admin",
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
        # Hashing the password costs 0.2 s, and a night asks some hundred times. The price: another
        # process of the server takes a changed password so many seconds later.
        "auth_cache_ttl_seconds = 30",
    )
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
        stream.write(text)
    os.replace(unfinished, path)


if __name__ == "__main__":
    main()
