#!/bin/sh
# Give a command its secrets: export NAME for every NAME_FILE that names a file of the secrets
# folder, then become the command. Sentiflow's own command line reads the files itself.
set -eu
case $1 in sentiflow | */sentiflow) exec "$@" ;; esac
folder=${SECRETS_FOLDER:-/secrets}

for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)_FILE=.*/\1/p'); do
  eval "file=\${${name}_FILE-}"
  case $file in
    "$folder"/*) ;;
    *) continue ;;
  esac
  if [ ! -r "$file" ]; then
    echo "${name}_FILE must be a readable file. Received: $file. Compose: start the service secrets. Elsewhere: put it there, empty if unused." >&2
    exit 2
  fi
  unset "${name}_FILE"
  secret=$(cat "$file")
  # An empty file is a secret that is not configured.
  if [ -n "$secret" ]; then
    export "$name=$secret"
  fi
done

exec "$@"
