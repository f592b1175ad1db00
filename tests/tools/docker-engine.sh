#!/bin/bash
# A Docker engine for the tests, started by hand and stopped again: needs root and an installed dockerd, nothing else.
#
#   docker-engine.sh start FOLDER    start one with all its files in FOLDER; prints the environment to use it, as KEY=VALUE lines
#   docker-engine.sh stop FOLDER     stop it and everything it runs, and remove FOLDER; fine when nothing runs
#
# It has no bridge and no firewall rules (containers use the host's network, OCRQ_TEST_DOCKER_NETWORK=host), so the
# machine's network stays as it is, and no storage but plain copies in FOLDER, so no kernel feature is needed.
set -uo pipefail

alive() { # false for a zombie too: nobody may reap it
    local state
    state=$(ps -o stat= -p "$1" 2>/dev/null) && [[ -n $state && $state != Z* ]]
}

start() {
    local folder=$1 pid tries
    mkdir -p "$folder" && folder=$(cd "$folder" && pwd) || return 1
    echo "{}" >"$folder/docker.json" # not the machine's own /etc/docker/daemon.json
    setsid dockerd \
        --host "unix://$folder/docker.sock" --pidfile "$folder/docker.pid" \
        --data-root "$folder/data" --exec-root "$folder/exec" --config-file "$folder/docker.json" \
        --storage-driver vfs --bridge=none --iptables=false --ip-forward=false \
        >"$folder/docker.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$folder/engine.pid"
    for ((tries = 0; tries < 150; tries++)); do
        if [[ -S $folder/docker.sock ]] && grep -q 'API listen on' "$folder/docker.log"; then
            echo "DOCKER_HOST=unix://$folder/docker.sock"
            echo "OCRQ_TEST_DOCKER_NETWORK=host"
            return 0
        fi
        alive "$pid" || break
        sleep 0.2
    done
    echo "dockerd did not start; the end of its log:" >&2
    tail -n 5 "$folder/docker.log" >&2
    stop "$folder"
    return 1
}

stop() {
    local folder=$1 pid tries mounted
    [[ -d $folder ]] || return 0
    folder=$(cd "$folder" && pwd)
    pid=$(cat "$folder/engine.pid" 2>/dev/null)
    if [[ -n $pid ]] && alive "$pid"; then
        kill -TERM "$pid" # ends its containers and its containerd as well
        for ((tries = 0; tries < 150; tries++)); do
            alive "$pid" || break
            sleep 0.2
        done
        alive "$pid" && kill -KILL "$pid"
    fi
    while read -r mounted; do umount "$mounted"; done < <(awk -v at="$folder/" 'index($5, at) == 1 {print $5}' /proc/self/mountinfo | sort -r)
    rm -rf "$folder"
}

case ${1-} in
start | stop) "$1" "${2:?folder}" ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
