#!/usr/bin/env bash
# Run a command beside a Docker engine of its own that has the project's image, then end the engine.
# Usage: scripts/with_engine.sh COMMAND…
#
# Needs root, dockerd, docker and debootstrap (Debian: docker.io debootstrap). No image registry is
# asked: the two base images are made of Debian packages. Images and build layers are kept between
# runs in SENTIFLOW_ENGINE_CACHE (default: ~/.cache/sentiflow/engine, about 10 GB).
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
cache=${SENTIFLOW_ENGINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sentiflow/engine}
python_image=$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$top/Dockerfile")
postgres_image=$(sed -n 's/^ *image: \(postgres:.*\)/\1/p' "$top/docker-compose.yml")
suite=${python_image##*-}
certificates=/etc/ssl/certs/ca-certificates.crt

say() { echo "with_engine: $*" >&2; }

refuse() {
  say "no Docker engine can be had here: $1 Received: ${2:-nothing}."
  exit 2
}

check_machine() {
  [ "$(id -u)" = 0 ] || refuse "a root user is needed, for dockerd and debootstrap." "user $(id -un)"
  for program in dockerd docker debootstrap iptables flock; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null \
      || refuse "the program $program is needed (Debian: apt-get install docker.io debootstrap)."
  done
}

# Debian's address as apt knows it on this machine; another distribution's leaves debootstrap's own.
find_mirror() {
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI)' 2>/dev/null \
    | sed -n 's/^Debian main //p' | head -1
}

start_engine() {
  mkdir -p "$cache/config/cli-plugins"
  exec 9>"$cache/lock"
  flock -n 9 || refuse "the folder SENTIFLOW_ENGINE_CACHE must not be in use." "$cache"
  # What a killed run of this script left over: the lock is ours, so nobody needs it.
  end_process "$(cat "$cache/docker.pid" 2>/dev/null || true)"
  rm -f "$cache/docker.pid"
  # Sockets need short names.
  run=$(mktemp -d /tmp/sentiflow-engine-XXXXXX)
  trap end_engine EXIT
  export DOCKER_HOST=unix://$run/docker.sock DOCKER_CONFIG=$cache/config
  PATH=$PATH:/usr/sbin setsid dockerd --host "$DOCKER_HOST" --data-root "$cache/docker" \
    --exec-root "$run/exec" --pidfile "$cache/docker.pid" --bridge none --log-level warn \
    >"$cache/dockerd.log" 2>&1 9>&- &
  engine=$!
  for _ in $(seq 120); do
    docker version >/dev/null 2>&1 && { remove_stacks; return; }
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.5
  done
  refuse "dockerd must start." "$(tail -3 "$cache/dockerd.log")"
}

end_process() {
  [ -n "$1" ] && kill "$1" 2>/dev/null || return 0
  for _ in $(seq 60); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.5
  done
  kill -9 "$1" 2>/dev/null || true
}

# Containers, networks and volumes of stacks. One that a killed run left behind would start again
# with the engine, and the next stack of its name would live on in its databases.
remove_stacks() {
  if containers=$(docker ps --all --quiet 2>/dev/null) && [ -n "$containers" ]; then
    # shellcheck disable=SC2086
    docker rm --force --volumes $containers >/dev/null 2>&1 || true
  fi
  for kind in network volume; do
    names=$(docker "$kind" ls --quiet --filter label=com.docker.compose.project 2>/dev/null) || true
    # shellcheck disable=SC2086
    [ -z "$names" ] || docker "$kind" rm $names >/dev/null 2>&1 || true
  done
}

end_engine() {
  trap '' INT TERM
  remove_stacks
  end_process "${engine:-}"
  # A namespace that the engine had no time to let go of stays mounted.
  awk -v run="$run/" 'index($2, run) == 1 { print $2 }' /proc/mounts | xargs -r umount
  rm -rf "$run"
}

get_compose() {
  docker compose version >/dev/null 2>&1 && return
  say "taking Docker Compose out of Debian's package"
  local folder=$run/apt mirror
  mirror=$(find_mirror)
  mkdir -p "$folder/lists/partial" "$folder/archives/partial"
  # The first release of Debian whose package is Compose 2; bookworm's is the old one in Python.
  echo "deb ${mirror:?"apt must know a Debian mirror"} trixie main" >"$folder/sources.list"
  local options=(-qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$folder" && apt-get "${options[@]}" download docker-compose && dpkg -x docker-compose_*.deb .)
  install -m 0755 "$(find "$folder/usr" -path "*/cli-plugins/docker-compose")" \
    "$cache/config/cli-plugins/docker-compose"
  docker compose version >&2
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# In the place of Python's own image: Debian's smallest system and its Python.
make_python_image() {
  has_image "$python_image" && return
  say "making $python_image with debootstrap"
  local root=$run/root
  PATH=$PATH:/usr/sbin debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    "$suite" "$root" "$(find_mirror)" >"$cache/debootstrap.log" \
    || { tail -5 "$cache/debootstrap.log" >&2; exit 1; }
  # Which authorities and which index this machine trusts is put in now, and stands nowhere else.
  [ ! -r "$certificates" ] || cp "$certificates" "$root$certificates"
  {
    printf '[global]\ncert = %s\n' "$certificates"
    index=$(python3 -m pip config get global.index-url 2>/dev/null) && echo "index-url = $index"
  } >"$root/etc/pip.conf" || true
  tar -C "$root" -c . | docker import - "$python_image" >/dev/null
  rm -rf "$root"
}

# In the place of PostgreSQL's own image: its user, folders and variables. The cluster's locale is
# C, which is the harder case.
make_postgres_image() {
  has_image "$postgres_image" && return
  say "making $postgres_image"
  local folder=$run/postgres version=${postgres_image#*:}
  version=${version%%-*}
  mkdir "$folder"
  cat >"$folder/start.sh" <<'START'
#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -U postgres --locale=C --auth-local=trust --auth-host=scram-sha-256 \
    --pwfile="$POSTGRES_PASSWORD_FILE"
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec "$@"
START
  chmod 0755 "$folder/start.sh"
  cat >"$folder/Dockerfile" <<DOCKERFILE
FROM $python_image
RUN groupadd --system --gid 999 postgres && useradd --system --uid 999 --gid 999 postgres \
  && apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-$version \
  && install -d -o 999 -g 999 -m 0777 /var/lib/postgresql/data
COPY start.sh /usr/local/bin/
ENV PATH=/usr/lib/postgresql/$version/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data
USER 999:999
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/start.sh"]
CMD ["postgres", "-c", "listen_addresses=*"]
DOCKERFILE
  build "$postgres_image" "$folder"
}

build() {
  # The old builder: the new one is a program of its own, which docker.io does not bring along.
  DOCKER_BUILDKIT=0 docker build --network host --tag "$1" "$2" >"$cache/build.log" 2>&1 \
    || { tail -40 "$cache/build.log" >&2; exit 1; }
}

[ $# -gt 0 ] || { say "a command is needed"; exit 2; }
check_machine
start_engine
get_compose
make_python_image
make_postgres_image
began=$SECONDS
say "building the image (some minutes the first time)"
build sentiflow "$top"
say "the image is built ($((SECONDS - began)) s, $(docker image inspect --format '{{.Size}}' sentiflow | numfmt --to=iec))"
began=$SECONDS
export SENTIFLOW_ENGINE=$run
status=0
(cd "$top" && "$@") 9>&- || status=$?
say "done in $((SECONDS - began)) s, exit code $status"
exit "$status"
